"""Contact's pages: they read; each step on them goes through a verb of this room."""

from dunning.contact.admin import complaints, preferences, replies, reports  # noqa: F401  (they register themselves)
