"""Who may see what: the table. `test_who_may_see_what.py` walks every registered URL as every person and compares.

A new URL without a row here fails the walk. `python -m tests.who_may_see_what` prints the table as the page
`docs/who-may-see-what.md`, which a test compares.

A model's row covers all pages that its admin class has by itself: list, search, export, the object's page and history
by primary key and by Stripe's id, autocomplete, and the pages for adding and deleting, which nobody gets (but
superusers, for users and groups). PAGES and ENDPOINTS name what is left.
"""

from __future__ import annotations

from dataclasses import dataclass

FINANCE, LEAD, SUPPORT, AUDITOR = "Finance", "Finance lead", "Support", "Auditor"
ALL = (FINANCE, LEAD, SUPPORT, AUDITOR)
DECIDERS = (FINANCE, LEAD)
TALKERS = (FINANCE, LEAD, SUPPORT)
NOBODY = ()

# What whoever is limited to some accounts gets of a model's rows.
OWN = "their accounts' rows"
OWN_AND_GENERAL = "their accounts' rows, and those for all accounts"
NOTHING = "nothing"
EVERYTHING = "all rows: they name no account"


@dataclass(frozen=True)
class Model:
    """`see`: the roles that see the pages. `acts`: bulk steps of the list by name, and the roles that may take them."""

    label: str
    see: tuple[str, ...]
    limited: str = OWN
    acts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    only_own: tuple[str, ...] = ()  # roles that see what they made themselves, of the rest nothing
    list_leads_on: bool = False  # the list and the object's page only lead to another page
    page_leads_on: bool = False  # the object's page alone leads to the list
    note: str = ""


@dataclass(frozen=True)
class Page:
    """A page of the admin that belongs to no model's stock pages.

    who     the roles; STAFF: every member of staff, group or not; ANYONE: no log-in needed
    about   the model whose object it is about, "" for none; `arg` the object's attribute that stands in the URL,
            `more` what stands behind it
    post    roles that may POST; None: POST is no way to call it (a page that answers 405, or treats it as GET)
    get     what GET answers to those who may see it; 405 for what only POST calls
    limited what whoever is limited to some accounts may read, where that is more than their own rows
    """

    name: str
    who: tuple[str, ...]
    about: str = ""
    arg: str = "pk"
    more: tuple[str, ...] = ()
    post: tuple[str, ...] | None = None
    get: int = 200
    note: str = ""
    limited: str = ""


STAFF = ("every member of staff",)
ANYONE = ("anyone",)

MODELS = [
    Model("approvals.suggestion", ALL, acts=(("approve", DECIDERS), ("reject", DECIDERS))),
    Model("approvals.execution", ALL),
    Model("approvals.policy", (FINANCE, LEAD, AUDITOR), OWN_AND_GENERAL),
    Model("approvals.auditentry", (LEAD, AUDITOR), NOTHING, note="entries name accounts of all kinds"),
    Model("approvals.batch", (FINANCE, LEAD, AUDITOR), only_own=(FINANCE,), note="Finance: one's own"),
    Model("approvals.backtestrun", (FINANCE, LEAD, AUDITOR)),
    Model("approvals.bandtally", (FINANCE, LEAD, AUDITOR), page_leads_on=True, note="the scoreboard"),
    Model("approvals.automationgrant", (FINANCE, LEAD, AUDITOR)),
    Model("approvals.killswitch", ALL, EVERYTHING),
    Model("forecast.forecast", (FINANCE, LEAD, AUDITOR), page_leads_on=True, note="cash in and out by day"),
    Model("settlements.payoutrecord", ALL),
    Model("settlements.earning", ALL),
    Model("settlements.finding", (FINANCE, LEAD, AUDITOR), acts=(("dismiss", DECIDERS),)),
    Model("settlements.seller", (FINANCE, LEAD, AUDITOR)),
    Model("reconciliation.reconciliationitem", (FINANCE, LEAD, AUDITOR)),
    Model("reconciliation.run", (FINANCE, LEAD, AUDITOR)),
    Model("reconciliation.payoutcheck", (FINANCE, LEAD, AUDITOR)),
    Model("settlements.sharerule", (FINANCE, LEAD, AUDITOR)),
    Model("risk.riskassessment", (FINANCE, LEAD, AUDITOR)),
    Model("risk.riskhold", (FINANCE, LEAD, AUDITOR), acts=(("release", (LEAD,)),)),
    Model("ledger.journalentry", (FINANCE, LEAD, AUDITOR), note="not limited: all postings; else their sellers'"),
    Model("dunning.dunningcase", ALL),
    Model("dunning.message", ALL),
    Model("dunning.messagetemplate", ALL, acts=(("take_back", (LEAD,)),)),
    Model("brands.brand", ALL),
    Model("dunning.servicestate", ALL),
    Model("dunning.supporttask", ALL, acts=(("take", (LEAD, SUPPORT)), ("done", (LEAD, SUPPORT)))),
    Model("contact.contactpreference", ALL, acts=(("resubscribe", (LEAD, SUPPORT)),)),
    Model("contact.complaint", ALL, acts=(("close", (LEAD, SUPPORT)),)),
    Model("contact.reply", ALL, acts=(("handle", (LEAD, SUPPORT)),), note="words: whoever may see who customers are"),
    Model("contact.receipt", ALL, note="delivery reports"),
    Model("campaigns.campaign", ALL, OWN_AND_GENERAL),
    Model("campaigns.campaignversion", ALL, OWN_AND_GENERAL),
    Model("campaigns.experiment", ALL, OWN_AND_GENERAL, note="figures only of what one sees all of"),
    Model("support.timelineentry", ALL, list_leads_on=True),
    Model(
        "outbound.endpoint",
        (FINANCE, LEAD, AUDITOR),
        acts=(("ping", (LEAD,)), ("on", (LEAD,)), ("off", (LEAD,))),
        note="receivers of outgoing webhooks",
    ),
    Model("outbound.delivery", (FINANCE, LEAD, AUDITOR), acts=(("replay", (LEAD,)),)),
    Model("outbound.deliveryattempt", (FINANCE, LEAD, AUDITOR)),
    Model("outbound.outgoingevent", (FINANCE, LEAD, AUDITOR)),
    Model("inbox.inboundevent", ALL, acts=(("replay", DECIDERS), ("dismiss", (LEAD,)))),
    Model("llm.agentrun", (FINANCE, LEAD, AUDITOR)),
    *(
        Model(f"djstripe.{name}", ALL)
        for name in (
            *("account", "balancetransaction", "charge", "customer", "dispute", "invoice", "paymentintent"),
            *("paymentmethod", "payout", "price", "product", "refund", "subscription", "transfer"),
        )
    ),
    Model("mirror.creditnote", ALL),
    Model("mirror.invoicepayment", ALL),
    Model("django_q.schedule", NOBODY, NOTHING, note="superusers only"),
    Model("django_q.success", NOBODY, NOTHING, note="superusers only"),
    Model("django_q.failure", NOBODY, NOTHING, note="superusers only"),
    Model("auth.user", NOBODY, NOTHING, note="superusers, and whoever has the right to change users"),
    Model("auth.group", NOBODY, NOTHING, note="superusers only"),
    Model("billingops.accountaccess", NOBODY, NOTHING, note="superusers only"),
]

PAGES = [
    Page("index", STAFF),
    Page("app_list", STAFF, get=0, note="the apps of which one sees a page; the rest are 404"),
    Page("find", STAFF, get=302, note="leads to the page of an id, which asks for itself"),
    Page("login", ANYONE, post=ANYONE),
    Page("logout", STAFF, post=STAFF, get=405),
    Page("password_change", STAFF, post=STAFF),
    Page("password_change_done", STAFF),
    Page("jsi18n", STAFF),
    Page("autocomplete", STAFF, get=403, note="asks for the right to see the model it completes"),
    Page("view_on_site", NOBODY, note="no model has a page elsewhere: 404 for everybody"),
    Page("llm_agents", (FINANCE, LEAD, AUDITOR), note="figures of the rows one may see; budgets only without a limit"),
    Page("llm_agent", (FINANCE, LEAD, AUDITOR), note="the same for one agent, with the words of its prompts"),
    Page("second_factor", STAFF),
    Page("second_factor_set_up", STAFF, get=302, post=STAFF, note="asks for the password first"),
    Page("second_factor_verify", STAFF, get=302, post=STAFF),
    Page("second_factor_codes", NOBODY, get=405, note="whoever has a second factor and has shown it"),
    Page("second_factor_remove", NOBODY, get=405, note="whoever has a second factor and has shown it"),
    Page("second_factor_people", (LEAD,)),
    Page("second_factor_reset", (LEAD,), about="auth.user", post=(LEAD,), get=405),
    Page("ledger_balances", (FINANCE, LEAD, AUDITOR), note="limited: their sellers', no account of the platform"),
    Page("ledger_export", (FINANCE, LEAD, AUDITOR), note="the form; with a period the file of what one may see"),
    Page("settlements_seller_debt", DECIDERS, about="settlements.seller", post=DECIDERS, get=405),
    *(
        Page(f"reconciliation_item_{verb}", DECIDERS, about="reconciliation.reconciliationitem", post=DECIDERS, get=405)
        for verb in ("match", "unmatch", "correct")
    ),
    Page("reconciliation_months", (FINANCE, LEAD, AUDITOR), get=302, note="leads to this month"),
    Page("reconciliation_month", (FINANCE, LEAD, AUDITOR), note="the sellers one may see"),
    Page(
        "reconciliation_report",
        (FINANCE, LEAD, AUDITOR),
        post=DECIDERS,
        note="of a seller one may see; else 404. POST: the PDF with a model's words",
    ),
    Page("reconciliation_payout", (FINANCE, LEAD, AUDITOR), about="reconciliation.payoutcheck", arg="payout"),
    Page("settlements_trace_search", ALL),
    Page(
        "settlements_trace",
        ALL,
        about="settlements.earning",
        arg="invoice",
        note="others' parts as one sum without names",
    ),
    Page("settlements_statement", ALL, about="settlements.seller", arg="account", more=("2026-11",)),
    Page(
        "settlements_statement_file", ALL, about="settlements.seller", arg="account", more=("2026-11",), note="logged"
    ),
    *(
        Page(f"dunning_dunningcase_{verb}", TALKERS, about="dunning.dunningcase", post=TALKERS)
        for verb in (
            *("take", "release", "assign", "hand_over", "promise", "pause", "resume", "snooze", "note", "look_again"),
            "escalate",
        )
    ),
    Page("outbound_endpoint_new", (LEAD,), post=(LEAD,), note="shows the new secret, once"),
    Page("outbound_endpoint_edit", (LEAD,), about="outbound.endpoint", post=(LEAD,)),
    Page("outbound_endpoint_secret", (LEAD,), about="outbound.endpoint", post=(LEAD,), note="shows it once"),
    Page("outbound_endpoint_replay", (LEAD,), about="outbound.endpoint", post=(LEAD,)),
    Page("contact_complaint_new", (LEAD, SUPPORT), post=(LEAD, SUPPORT)),
    Page("contact_contactpreference_stop", (LEAD, SUPPORT), post=(LEAD, SUPPORT)),
    Page("campaigns_campaign_new", (LEAD,), post=(LEAD,)),
    Page("campaigns_campaign_settings", (LEAD,), about="campaigns.campaign", post=(LEAD,)),
    Page("campaigns_campaign_draft", (LEAD,), about="campaigns.campaign", post=(LEAD,), get=405),
    Page("campaigns_campaignversion_edit", (LEAD,), about="campaigns.campaignversion", post=(LEAD,)),
    Page("campaigns_campaignversion_activate", (LEAD,), about="campaigns.campaignversion", post=(LEAD,)),
    Page("campaigns_campaignversion_discard", (LEAD,), about="campaigns.campaignversion", post=(LEAD,), get=405),
    Page("campaigns_campaignversion_preview", ALL, about="campaigns.campaignversion", note="past cases one may see"),
    Page("campaigns_experiment_start", (LEAD,), about="campaigns.campaign", post=(LEAD,)),
    Page("campaigns_experiment_stop", (LEAD,), about="campaigns.experiment", post=(LEAD,), get=405),
    Page("support_search", ALL, post=ALL),
    Page("support_timeline", ALL, about="support.timelineentry", arg="customer"),
    Page("support_invoice", ALL, about="djstripe.invoice", arg="id"),
    Page("approvals_suggestion_panel", ALL, about="approvals.suggestion"),
    *(
        Page(f"approvals_suggestion_{verb}", DECIDERS, about="approvals.suggestion", post=DECIDERS, get=405)
        for verb in ("approve", "reject", "cancel", "retry", "look_again", "blind", "take", "release", "assign")
    ),
    Page("approvals_suggestion_comment", TALKERS, about="approvals.suggestion", post=TALKERS, get=405),
    Page(
        "approvals_suggestion_edit", DECIDERS, about="approvals.suggestion", post=DECIDERS, note="where the kind lets"
    ),
    Page("approvals_suggestion_story", ALL, about="approvals.suggestion"),
    Page("approvals_suggestion_story_pdf", ALL, about="approvals.suggestion"),
    Page("approvals_suggestion_desk", ALL, post=ALL, note="one's own saved views and mails"),
    Page("approvals_batch_start", NOBODY, about="approvals.batch", get=405, note="whoever made the batch"),
    Page("approvals_batch_stop", (LEAD,), about="approvals.batch", post=(LEAD,), get=405, note="and whoever made it"),
    Page("approvals_batch_progress", (LEAD, AUDITOR), about="approvals.batch", note="and whoever made it"),
    Page("dunning_message_letter", ALL, about="dunning.message", get=404, note="of a letter, as a PDF; else 404"),
    Page("dunning_report", ALL, note="the cases one may see; campaigns for all accounts by name"),
    Page("dunning_report_export", ALL, note="the same as a file, logged"),
    Page("dunning_messagetemplate_write", (LEAD,), post=(LEAD,), note="of the brands one may see"),
    Page("brands_brand_new", (LEAD,), post=(LEAD,)),
    Page("brands_brand_edit", (LEAD,), about="brands.brand", post=(LEAD,)),
    Page("approvals_policy_new", (LEAD,), post=(LEAD,)),
    Page("approvals_policy_edit", (LEAD,), about="approvals.policy", post=(LEAD,)),
    Page("approvals_backtestrun_start", DECIDERS, post=DECIDERS, get=405),
    Page("approvals_backtestrun_cases", (FINANCE, LEAD, AUDITOR), about="approvals.backtestrun"),
    Page(
        "approvals_automationgrant_band",
        (FINANCE, LEAD, AUDITOR),
        get=404,
        post=(LEAD,),
        note="of a band that is named",
    ),
    Page("approvals_automationgrant_off", (LEAD,), about="approvals.automationgrant", post=(LEAD,), get=405),
    Page("approvals_killswitch_flip", (LEAD,), post=(LEAD,), get=405),
    Page(
        "settlements_sharerule_try",
        (FINANCE, LEAD, AUDITOR),
        post=(FINANCE, LEAD, AUDITOR),
        note="saves nothing; limited to accounts: their rules alone take part",
    ),
]

ENDPOINTS = [
    Page("schema", ALL),
    Page("docs", ALL),
    Page("suggestion-list", ALL),
    Page("suggestion-detail", ALL, about="approvals.suggestion"),
    *(
        Page(f"suggestion-{verb}", DECIDERS, about="approvals.suggestion", post=DECIDERS, get=405)
        for verb in (
            *("approve", "reject", "cancel", "retry", "look-again", "blind", "take", "release", "assign", "edit"),
        )
    ),
    Page("suggestion-comment", TALKERS, about="approvals.suggestion", post=TALKERS, get=405),
    Page("suggestion-bulk", DECIDERS, post=DECIDERS, get=405),
    Page("batch-list", (FINANCE, LEAD, AUDITOR)),
    Page("batch-detail", (LEAD, AUDITOR), about="approvals.batch", note="and whoever made it"),
    Page("batch-items", (LEAD, AUDITOR), about="approvals.batch", note="and whoever made it"),
    Page("batch-stop", (LEAD,), about="approvals.batch", post=(LEAD,), get=405, note="and whoever made it"),
    Page("scoreboard-list", (FINANCE, LEAD, AUDITOR)),
    Page("kill-switch-list", ALL),
    Page("kill-switch-on", (LEAD,), about="approvals.killswitch", post=(LEAD,), get=405),
    Page("kill-switch-off", (LEAD,), about="approvals.killswitch", post=(LEAD,), get=405),
    Page("forecast-list", (FINANCE, LEAD, AUDITOR)),
    Page(
        "rules-explain",
        (FINANCE, LEAD, AUDITOR),
        post=(FINANCE, LEAD, AUDITOR),
        get=405,
        note="saves nothing; limited to accounts: their rules alone take part",
    ),
    Page("payout-record-list", ALL),
    Page("payout-record-detail", ALL, about="settlements.payoutrecord"),
    Page("risk-list", (FINANCE, LEAD, AUDITOR)),
    Page("risk-detail", (FINANCE, LEAD, AUDITOR), about="risk.riskassessment", arg="account"),
    Page("journal-entry-list", (FINANCE, LEAD, AUDITOR)),
    Page("journal-entry-detail", (FINANCE, LEAD, AUDITOR), about="ledger.journalentry"),
    Page("balance-list", (FINANCE, LEAD, AUDITOR), note="of the sellers one may see"),
    Page("reconciliation-item-list", (FINANCE, LEAD, AUDITOR)),
    Page("reconciliation-item-detail", (FINANCE, LEAD, AUDITOR), about="reconciliation.reconciliationitem"),
    Page("reconciliation-payout-list", (FINANCE, LEAD, AUDITOR)),
    Page("reconciliation-report-detail", (FINANCE, LEAD, AUDITOR), note="the sellers one may see"),
    Page("earning-list", ALL),
    Page("earning-detail", ALL, about="settlements.earning"),
    Page(
        "trace-detail", ALL, about="settlements.earning", arg="invoice", note="others' parts as one sum without names"
    ),
    Page("statement-detail", ALL, about="settlements.seller", arg="account", more=("2026-11",)),
    Page("dunning-case-list", ALL),
    Page("dunning-case-detail", ALL, about="dunning.dunningcase"),
    *(
        Page(f"dunning-case-{verb}", TALKERS, about="dunning.dunningcase", post=TALKERS, get=405)
        for verb in (
            *("take", "release", "assign", "hand-over", "promise", "pause", "resume", "snooze", "note", "look-again"),
            "escalate",
        )
    ),
    Page("dunning-campaign-list", ALL, note="and those for all accounts"),
    Page("dunning-campaign-detail", ALL, about="campaigns.campaign", arg="name", limited=OWN_AND_GENERAL),
    Page("dunning-campaign-tests", ALL, about="campaigns.campaign", arg="name", limited=OWN_AND_GENERAL),
    Page("dunning-report-list", ALL, note="the cases one may see"),
    Page("dunning-access-list", ALL),
    Page("dunning-access-detail", ALL, about="dunning.servicestate", arg="subscription"),
    Page("outbound-endpoint-list", (FINANCE, LEAD, AUDITOR)),
    Page("outbound-endpoint-detail", (FINANCE, LEAD, AUDITOR), about="outbound.endpoint"),
    Page("outbound-endpoint-replay", (LEAD,), about="outbound.endpoint", post=(LEAD,), get=405),
    Page("outbound-delivery-list", (FINANCE, LEAD, AUDITOR)),
    Page("outbound-delivery-detail", (FINANCE, LEAD, AUDITOR), about="outbound.delivery"),
    Page("outbound-delivery-replay", (LEAD,), about="outbound.delivery", post=(LEAD,), get=405),
    Page("customer-timeline", ALL, about="support.timelineentry", arg="customer"),
]

# Neither admin nor API: named here so that nothing is registered unseen.
OTHERS = {
    "": "leads to the admin",
    "favicon.ico": "leads to the icon",
    "stripe/webhook/": "Stripe's events; a signature takes the place of a log-in",
    "contact/unsubscribe/<str:token>/": "stops reminders to a customer; the signed link takes the place of a log-in",
    "contact/mail/<slug:provider>/<slug:purpose>/": "mail providers' reports; a signature or secret as for Stripe's",
    "healthz": "whether the process answers",
    "readyz": "whether it can do its work; counts and ages, no names",
}


# -- as a page for people ----------------------------------------------------------------------------------------------

INTRO = """# Who may see what

Made from `tests/who_may_see_what.py`, and true: the tests walk every page and every endpoint as a member of each group,
limited to one account and not, as a member of staff in no group, as somebody who has left the staff, and as a visitor
without a log-in, and compare with this table. Change it there, then run
`python -m tests.who_may_see_what > docs/who-may-see-what.md`.

- **Not limited** members of a group see the rows of all accounts and those of the platform. Whoever is **limited to
  accounts** sees what the column says; everything else does not exist for them (404), in lists, searches, exports,
  histories, the timeline and the API alike.
- Staff in no group see the empty home page and their own password's and second factor's pages, nothing else. The API
  does not answer them.
- Members of a group who are not staff (any more) are sent to the log-in, and their API tokens are refused.
- An auditor sees all that the others see, the audit log included, and can change nothing.
- Superusers see and may do everything, and are not meant for daily work.
"""


def _marks(roles: tuple[str, ...]) -> str:
    if roles in (STAFF, ANYONE):
        return " | ".join(["✓"] * 4)
    return " | ".join("✓" if role in roles else "–" for role in ALL)


def _who(roles: tuple[str, ...]) -> str:
    return "all four" if roles == ALL else ", ".join(roles) or "nobody"


def as_markdown() -> str:
    columns = " | ".join(ALL)
    lines = [INTRO, "## The back office, by what is shown", ""]
    lines += [f"| model | {columns} | limited to accounts | steps, and who may take them |", "|---" * 7 + "|"]
    for model in MODELS:
        steps = "; ".join(f"{name}: {_who(roles)}" for name, roles in model.acts)
        note = f"({model.note})" if model.note else ""
        limited = model.limited if model.see else "–"
        lines.append(f"| {model.label} | {_marks(model.see)} | {limited} | {' '.join(filter(None, (steps, note)))} |")
    for title, rows in (("The back office, other pages", PAGES), ("The API", ENDPOINTS)):
        lines += ["", f"## {title}", "", f"| page | {columns} | about | remarks |", "|---" * 7 + "|"]
        for row in rows:
            remarks = ["POST only" if row.get == 405 else "", row.note]
            remarks += ["no log-in needed"] if row.who == ANYONE else []
            remarks += ["every member of staff"] if row.who == STAFF else []
            lines.append(
                f"| {row.name} | {_marks(row.who)} | {row.about or '–'} | {'; '.join(filter(None, remarks))} |"
            )
    lines += ["", "## Neither", ""]
    lines += [f"- `/{route}`: {text}." for route, text in OTHERS.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
