"""Support's agent: it asks no model. Explanations of invoices and timelines are the rules' own words."""

from __future__ import annotations

from billingops.llm.registry import Agent

AGENT = Agent(
    name="support",
    label="Support",
    version=1,
    sentence="Explains invoices and tells a customer's timeline. The rules' own words; it asks no model.",
    rules="rules support v1",
)
