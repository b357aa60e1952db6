"""The admin site and its base classes. Django's autodiscovery imports this package, and so registers the floor's pages.

site.py      BillingOpsAdminSite and `site`                base.py     ReadOnlyAdmin and its columns
actions.py   ConfirmedAction: page in between, then do     filters.py  filters without queries
home.py      what apps add to the home page                links.py    where an id leads
chart.py     server-made SVG                               export.py   CSV
history.py   field-by-field differences                    paging.py   capped counts and pages
"""

from django.apps import apps

if apps.models_ready:  # autodiscovery; importing `billingops.admin.links` early must not load models
    from billingops.admin import mirror, people, worker  # noqa: F401
