"""The admin site and its base classes. BillingOpsAdminConfig imports mirror, people and worker, which register
the floor's own pages.

site.py      BillingOpsAdminSite and `site`                base.py     ReadOnlyAdmin and its columns
actions.py   ConfirmedAction: page in between, then do     filters.py  filters without queries
home.py      what apps add to the home page                links.py    where an id leads
chart.py     server-made SVG                               export.py   CSV
history.py   field-by-field differences                    paging.py   capped counts and pages
"""
