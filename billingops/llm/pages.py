"""The agents, for reading: what each may do, what it used, how it did, with which words it asks. And the home panel."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import reverse

from billingops import access
from billingops.admin import home
from billingops.admin.site import page, site
from billingops.llm import budgets, client, figures, prices, prompts, registry
from billingops.llm.models import AgentSetting

RIGHT = "llm.view_agentrun"


def _context(request: HttpRequest, **more: Any) -> dict[str, Any]:
    if not request.user.has_perm(RIGHT):
        raise PermissionDenied
    return {
        **site.each_context(request),
        "model": settings.OPENAI_MODEL if not client.not_configured() else "",
        "known_price": settings.OPENAI_MODEL in prices.table()["models"],
        "price_table": prices.table()["version"],
        "days": figures.DAYS,
        "cap": figures.CAP,
        **more,
    }


@page("llm/agents/", name="llm_agents")
def agents(request: HttpRequest) -> HttpResponse:
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    context = _context(request, title="Agents")
    rows = [_shown(row) for row in figures.rows(request.user)]
    return TemplateResponse(request, "admin/llm/agents.html", {**context, "rows": rows})


@page("llm/agents/<slug:name>/", name="llm_agent")
def agent(request: HttpRequest, name: str) -> HttpResponse:
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    context = _context(request)
    found = registry.get(name)
    if found is None:
        raise Http404
    budget = budgets.one(name)
    setting = AgentSetting.objects.filter(agent=name).first()
    state, words = figures.state_of(found, budget)
    row = figures.Row(
        found,
        budget if access.accounts_of(request.user) is None else None,
        figures.of(name, request.user),
        state,
        words,
    )
    tasks = [
        {
            "task": task,
            "prompt": prompts.load(task.prompt),
            "facts": sorted(prompts.load(task.prompt).facts),
            "fields": list(task.schema.model_fields),  # templates call a class, and this one wants its fields
        }
        for task in found.tasks
    ]
    return TemplateResponse(
        request,
        "admin/llm/agent.html",
        {
            **context,
            **_shown(row),
            "title": f"Agent: {found.label}",
            "tasks": tasks,
            "customer_text": budget.customer_text,
            "changed": setting.history.first() if setting else None,
            "runs_url": f"{reverse('admin:llm_agentrun_changelist')}?agent={name}",
        },
    )


def _shown(row: figures.Row) -> dict[str, Any]:
    budget = row.budget
    return {
        "agent": row.agent,
        "figures": row.figures,
        "state": row.state,
        "words": row.tone,
        "budget": budget,
        "used_cost": figures.money(budget.used_cost) if budget else "",
        "limit_cost": figures.money(budget.cost) if budget else "",
    }


@home.panel(order=80)
def panel(request: HttpRequest) -> home.Panel | None:
    """Two statements; none where no model is configured, for then there is nothing to say."""
    if client.not_configured() or not request.user.has_perm(RIGHT):
        return None
    asking = [agent for agent in registry.agents() if agent.tasks]
    found = budgets.of([agent.name for agent in asking])
    sees_all = access.accounts_of(request.user) is None
    rows = [
        {
            "agent": agent,
            "budget": found[agent.name] if sees_all else None,
            "state": figures.state_of(agent, found[agent.name])[0],
            "words": figures.state_of(agent, found[agent.name])[1],
        }
        for agent in asking
    ]
    return home.Panel("Agents today", "admin/llm/_panel.html", {"rows": rows, "model": settings.OPENAI_MODEL})
