"""The pages of support tasks. They read; the two steps on a task go through support_tasks.py."""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib import admin
from django.db.models import Min
from django.http import HttpRequest
from django.urls import reverse

from billingops import access
from billingops.actors import Actor
from billingops.admin import home
from billingops.admin.actions import ConfirmedAction, Given
from billingops.admin.base import ReadOnlyAdmin, age_column, state_column, stripe_id_column
from billingops.admin.filters import AccountFilter, CustomerFilter
from billingops.admin.paging import capped_counts
from billingops.admin.site import site
from dunning import support_tasks
from dunning.models import SupportTask
from dunning.states import TaskState


def _may_work(request: HttpRequest) -> bool:
    return support_tasks.may_complete(request.user)


def _take(task: SupportTask, actor: Actor, given: Given) -> None:
    support_tasks.take(task_id=task.pk, actor=actor)


def _complete(task: SupportTask, actor: Actor, given: Given) -> None:
    support_tasks.complete(task_id=task.pk, actor=actor, version=int(given.version), result=given.comment)


def _done_already(request: HttpRequest, task: SupportTask) -> str:
    return "" if task.state == TaskState.OPEN else "It is done already."


@admin.register(SupportTask, site=site)
class SupportTaskAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("title", "state_", "customer_", "assigned", "age")
    list_select_related = ("assigned",)
    list_filter = ("state", AccountFilter, CustomerFilter)
    exact_search = ("customer", "pk")
    empty_text = "A task appears here when somebody approves an escalation."
    fieldsets = (
        (None, {"fields": ("title", "state_", "text", "customer_", "account_", "case")}),
        ("Work", {"fields": ("assigned", "done_by", "done_at", "result", "created_at")}),
    )
    readonly_fields = (
        "title", "state_", "text", "customer_", "account_", "case", "assigned", "done_by", "done_at", "result",
        "created_at",
    )  # fmt: skip
    confirmed_actions = (
        ConfirmedAction(
            name="take",
            label="Take or put back the selected tasks",
            button="Take or put back",
            sentence="Puts your name on these tasks, or takes it off again.",
            run=_take,
            may=_may_work,
            refuse=_done_already,
        ),
        ConfirmedAction(
            name="done",
            label="Mark the selected tasks done",
            button="Mark done",
            sentence="Marks these tasks done. Their cases are looked at again after the notice period if still unpaid.",
            run=_complete,
            may=_may_work,
            refuse=_done_already,
            version=lambda task: str(task.version),
            comment="required",
            comment_label="What came of it",
        ),
    )

    state_ = state_column()
    age = age_column()
    customer_ = stripe_id_column("customer", "Customer", account="account")
    account_ = stripe_id_column("account", "Account")


@home.waiting(order=40)
def open_tasks(request: HttpRequest) -> Iterator[home.WaitingLine]:
    """Open support tasks, for those who may work on them."""
    if not _may_work(request):
        return
    tasks = access.scope(SupportTask.objects.filter(state=TaskState.OPEN), request.user)
    yield home.WaitingLine(
        label="support tasks",
        count=capped_counts({"open": tasks})["open"],
        oldest=tasks.aggregate(oldest=Min("created_at"))["oldest"],
        url=reverse("admin:dunning_supporttask_changelist") + f"?state__exact={TaskState.OPEN}",
    )
