"""Brands: as whom a platform, or one of its connected accounts, writes to its customers.

terms.py     what a colour, a logo, an address may be (pure)      services.py  the one way a brand is changed
models.py    Brand, one per account                               config.py    the `brands` section of a config file
current.py   which brand speaks for an account                    admin.py     pages: read, and a form with preview
"""
