"""Dunning's pages: cases, messages, support tasks. They read; what changes something goes through the services."""

from dunning.admin import cases, messages, report, service, tasks, templates  # noqa: F401  (they register themselves)
