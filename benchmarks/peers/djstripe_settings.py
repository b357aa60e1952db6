"""Ours, with dj-stripe's own webhook view mounted in place of our receive view; dj-stripe's settings are its stock ones."""

from billingops.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.peers.djstripe_urls"
