"""The verbs on campaigns: design, activate, pause. Tests of versions against each other: experiments.py.

A person needs the right and the account (and the second factor where it is asked for); a config file comes from whoever
may run commands. Each change is one transaction with its history and a line in the audit log. No case is touched: what
runs keeps the version it has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils import timezone

from billingops import access
from billingops.actors import Actor, save_with_history
from billingops.exceptions import BillingOpsError, InvalidInput, InvalidTransition, VersionConflict
from billingops.journal import Note, note
from dunning.campaigns import content, templates, validation
from dunning.campaigns.models import MAX_NOTE, Campaign, CampaignVersion, Experiment
from dunning.campaigns.segments import Candidate
from dunning.campaigns.validation import Finding
from dunning.plan.sequences import STANDARD

RIGHT = "campaigns.design_campaign"
MAX_PRIORITY, MAX_CAMPAIGNS = 1000, 500
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
_ACCOUNT = re.compile(r"acct_[A-Za-z0-9_]{1,59}")
State = CampaignVersion.State


class Refused(BillingOpsError):
    """The version has errors. Nothing was changed. `findings`: all of them, each with its field and fix."""

    code = "campaign_refused"

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings
        super().__init__("Not activated: " + " ".join(str(one) for one in findings))


def why_not(user: Any, account: str) -> str:
    """ "" when this person may design the campaigns of `account` ("": of all accounts), else why not."""
    if not user.has_perm(RIGHT):
        return "You may look at campaigns but not change them."
    if not access.may_see_account(user, account):
        return "This campaign concerns accounts that you have no access to."
    return ""


def check_right(actor: Actor, account: str) -> None:
    if actor.user is None:
        return
    if why := why_not(actor.user, account):
        raise PermissionDenied(why)
    access.check_may_act(actor.user)


# -- campaigns ---------------------------------------------------------------------------------------------------------


def create(*, name: str, account: str, priority: int, description: str = "", actor: Actor) -> Campaign:
    """A campaign without a version: it takes no case yet. Raises PermissionDenied, InvalidInput."""
    check_right(actor, account)
    check_name(name, account)
    _check_settings(priority, description)
    if Campaign.objects.count() >= MAX_CAMPAIGNS:
        raise InvalidInput(f"There are {MAX_CAMPAIGNS} campaigns already; change one of them.", field="name")
    row = Campaign(name=name, account=account, priority=priority, description=description, created_by=actor.name[:160])
    try:
        with transaction.atomic():
            save_with_history(row, actor=actor, reason="made", force_insert=True)
            _note("campaign.added", row, actor, priority=priority)
    except IntegrityError:
        raise InvalidInput(f"There is a campaign named {name!r} already; a name stands for one.", field="name")
    return row


def check_name(name: str, account: str) -> None:
    """Raises InvalidInput."""
    if not _NAME.fullmatch(name) or name == STANDARD.name:
        raise InvalidInput(
            "A name is 1 to 60 small letters, digits and hyphens, and not “standard”, which is the sequence of cases "
            "without a campaign.",
            field="name",
        )
    if account and not _ACCOUNT.fullmatch(account):
        raise InvalidInput("An account is an id such as acct_1Abc; empty: all accounts.", field="account")


def change(
    *, campaign_id: int, priority: int, active: bool, description: str, version: int, actor: Actor,
    check_rivals: bool = True,
) -> Campaign:  # fmt: skip
    """Priority, on or off, description. Raises PermissionDenied, VersionConflict, InvalidInput, Refused (a rival)."""
    with transaction.atomic():
        row = lock(campaign_id)
        check_right(actor, row.account)
        if row.version != version:
            raise VersionConflict(f"You saw version {version}, it is now version {row.version}. Nothing was changed.")
        _check_settings(priority, description)
        before = (row.priority, row.active, row.description)
        row.priority, row.active, row.description = priority, active, description
        if before == (priority, active, description):
            return row
        if not active and running_test(row):
            raise InvalidTransition("An A/B test is running; stop it first. Nothing was changed.")
        held = row.versions.filter(state=State.ACTIVE).first()
        if check_rivals and active and held and (found := rivals(row, held)):
            raise Refused(found)
        row.version += 1
        save_with_history(row, actor=actor, reason="changed")
        _note("campaign.changed", row, actor, priority=priority, active=active)
    return row


def _check_settings(priority: int, description: str) -> None:
    if not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        raise InvalidInput(f"A priority lies between {-MAX_PRIORITY} and {MAX_PRIORITY}.", field="priority")
    if len(description) > MAX_NOTE:
        raise InvalidInput(f"A description has at most {MAX_NOTE} characters.", field="description")


# -- versions ----------------------------------------------------------------------------------------------------------


def draft(
    *, campaign_id: int, segment: Mapping[str, Any], sequence: Mapping[str, Any], actor: Actor, comment: str = ""
) -> CampaignVersion:
    """A new version, not in use. It may have errors: they keep it from being activated, not from being kept."""
    with transaction.atomic():
        campaign = lock(campaign_id)
        check_right(actor, campaign.account)
        number = max(campaign.versions.values_list("number", flat=True), default=0) + 1
        row = CampaignVersion(
            campaign=campaign, account=campaign.account, number=number, created_by=actor.user,
            created_by_name=actor.name[:160],
        )  # fmt: skip
        write(row, segment, sequence, comment)
        save_with_history(row, actor=actor, reason="drafted", force_insert=True)
        _note("campaign.drafted", campaign, actor, number=number)
    return row


def save_draft(
    *, version_id: int, segment: Mapping[str, Any], sequence: Mapping[str, Any], revision: int, actor: Actor,
    comment: str = "",
) -> CampaignVersion:  # fmt: skip
    """Raises PermissionDenied, InvalidTransition (it has been in use), VersionConflict, InvalidInput."""
    with transaction.atomic():
        row = lock_version(version_id)
        check_right(actor, row.account)
        if not row.is_draft:
            raise InvalidTransition(
                f"Version {row.number} has been in use and stays as it is. Nothing was changed; make a new version."
            )
        if row.revision != revision:
            raise VersionConflict(f"Somebody saved this draft meanwhile (now {row.revision}). Nothing was changed.")
        write(row, segment, sequence, comment)
        row.revision += 1
        save_with_history(row, actor=actor, reason="draft changed")
    return row


def write(row: CampaignVersion, segment: Mapping[str, Any], sequence: Mapping[str, Any], comment: str) -> None:
    if len(comment) > MAX_NOTE:
        raise InvalidInput(f"A note has at most {MAX_NOTE} characters.", field="note")
    row.segment = content.segment_json(content.read_segment(segment))
    row.sequence = content.sequence_json(content.read_sequence(sequence, name=row.campaign.name, version=row.number))
    row.note = comment


def discard(*, version_id: int, actor: Actor) -> None:
    """A draft that nobody wants. Raises InvalidTransition for what has been in use: cases may follow it."""
    with transaction.atomic():
        row = lock_version(version_id)
        check_right(actor, row.account)
        if not row.is_draft:
            raise InvalidTransition(f"Version {row.number} has been in use; it can be retired, not discarded.")
        _note("campaign.discarded", row.campaign, actor, number=row.number)
        row._history_user, row._change_reason = actor.user, "discarded"  # type: ignore[attr-defined]
        row.delete()


def activate(*, version_id: int, revision: int, actor: Actor, check_rivals: bool = True) -> CampaignVersion:
    """From now on new cases of the segment follow this version; those that run keep theirs.

    Raises PermissionDenied, VersionConflict (the draft is not the one that was seen), InvalidTransition, Refused.
    """
    with transaction.atomic():
        row = lock_version(version_id)
        check_right(actor, row.account)
        if row.revision != revision:
            raise VersionConflict("Somebody changed this version since you looked. Nothing was activated; look again.")
        if row.state not in (State.DRAFT, State.RETIRED):
            raise InvalidTransition(f"Version {row.number} is {row.get_state_display()}. Nothing was changed.")
        if running_test(row.campaign):
            raise InvalidTransition("An A/B test of this campaign is running; stop it first. Nothing was changed.")
        met = rivals(row.campaign, row) if check_rivals else []
        if found := [*validation.errors(findings(row)), *met]:
            raise Refused(found)
        for before in row.campaign.versions.filter(state=State.ACTIVE):
            retire(before, actor=actor, reason=f"followed by version {row.number}")
        take_into_use(row, State.ACTIVE, actor=actor)
        _note("campaign.activated", row.campaign, actor, number=row.number, **_print(row))
    return row


def retire(row: CampaignVersion, *, actor: Actor, reason: str) -> None:
    row.state, row.retired_at = State.RETIRED, timezone.now()
    save_with_history(row, actor=actor, reason=reason)


def take_into_use(row: CampaignVersion, state: str, *, actor: Actor) -> None:
    row.state, row.activated_at, row.retired_at = state, timezone.now(), None
    row.activated_by_name = actor.name[:160]
    save_with_history(row, actor=actor, reason=row.get_state_display())


def findings(row: CampaignVersion) -> list[Finding]:
    """What is wrong with a version, and what had better be different; rivals are not among them."""
    return validation.check(row.read_sequence(), row.read_segment(), templates=templates.known())


def rivals(campaign: Campaign, row: CampaignVersion) -> list[Finding]:
    """Campaigns that take cases now with which nothing would decide. One statement."""
    mine = Candidate(campaign.name, campaign.account, campaign.priority, row.read_segment())
    others = CampaignVersion.objects.filter(state=State.ACTIVE, campaign__active=True).exclude(campaign=campaign)
    return validation.check_rivals(
        mine,
        [
            Candidate(one.campaign.name, one.campaign.account, one.campaign.priority, one.read_segment())
            for one in others.select_related("campaign")
        ],
    )


# -- shared ------------------------------------------------------------------------------------------------------------


def lock(campaign_id: int) -> Campaign:
    """The row, with all campaigns locked: two that are activated at once must not miss each other as rivals. They are
    few, changed by people, and no case waits for them."""
    rows = {row.pk: row for row in Campaign.objects.select_for_update().order_by("pk")}
    if campaign_id not in rows:
        raise Campaign.DoesNotExist("There is no such campaign.")
    return rows[campaign_id]


def lock_version(version_id: int) -> CampaignVersion:
    campaign_id = CampaignVersion.objects.values_list("campaign_id", flat=True).get(pk=version_id)
    campaign = lock(campaign_id)
    row = CampaignVersion.objects.select_for_update().get(pk=version_id)
    row.campaign = campaign
    return row


def running_test(campaign: Campaign) -> Experiment | None:
    return campaign.experiments.filter(state=Experiment.State.RUNNING).first()


def _print(row: CampaignVersion) -> dict[str, Any]:
    return {"fingerprint": content.fingerprint(row.segment, row.sequence)}


def _note(action: str, campaign: Campaign, actor: Actor, **data: Any) -> None:
    note(Note(action, f"campaign:{campaign.name}", actor, data, account=campaign.account))


journal = _note
