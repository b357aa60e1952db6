"""Ours, with a view that verifies and answers mounted in place of our receive view."""

from billingops.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.peers.verify_only_urls"
