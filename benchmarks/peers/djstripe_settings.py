"""Ours, with dj-stripe's own webhook view in place of our receive view; it is configured as it comes."""

from billingops.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.peers.djstripe_urls"
