"""Which agents there are, and what each may do: registered in code by the app whose work it is, listed in the admin.

    registry.register(Agent(name="dunning", label="Dunning", …, tasks=(Task(name="choose_action", …),)))

An agent that is not here may not ask, and a registered one only with its own prompts, schemas and actions: `permit`
refuses everything else before anything is sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass

from pydantic import BaseModel

from billingops.exceptions import InvalidInput
from billingops.llm import client, prompts
from billingops.llm.prompts import Prompt


class NotPermitted(InvalidInput):
    """An agent was to do what its registration does not name. A mistake in code: nothing was sent."""

    code = "agent_not_permitted"


@dataclass(frozen=True)
class Task:
    """One thing an agent asks a model for.

    sentence        what it is for, as a person reads it
    prompt          label of its prompt file
    schema          the pydantic model of the answer
    decision_field  the field of the answer that decides; "" when the answer is words only
    actions         every value this field may ever have; a question permits some of them
    customer_text   whether texts typed by customers may be part of the question; the agent's setting decides then
    """

    name: str
    sentence: str
    prompt: str
    schema: type[BaseModel]
    decision_field: str = ""
    actions: tuple[str, ...] = ()
    customer_text: bool = False


@dataclass(frozen=True)
class Agent:
    """version   raised by hand when the agent asks differently (other facts, other checks)
    rules        the version of the rules that answer in its place
    """

    name: str
    label: str
    version: int
    sentence: str
    rules: str
    tasks: tuple[Task, ...] = ()

    def task(self, name: str) -> Task | None:
        return next((task for task in self.tasks if task.name == name), None)

    @property
    def fingerprint(self) -> str:
        """Changes with whatever decides what is asked and taken: version, prompts, schemas, actions."""
        definition = [
            {
                "task": [task.name, task.prompt, prompts.load(task.prompt).sha256],
                "answer": [client.json_schema(task.schema), task.decision_field, task.actions, task.customer_text],
            }
            for task in self.tasks
        ]
        sealed = json.dumps([self.name, self.version, definition], sort_keys=True)
        return hashlib.sha256(sealed.encode()).hexdigest()

    @property
    def version_label(self) -> str:
        """`v2-1f0c9a3b`: the version, and what it was made of."""
        return f"v{self.version}-{self.fingerprint[:8]}"


_agents: dict[str, Agent] = {}


def register(agent: Agent) -> None:
    """Raises RuntimeError for a second agent of that name, InvalidInput for a prompt that is not there."""
    if agent.name in _agents:
        raise RuntimeError(f"The agent {agent.name!r} is registered twice.")
    for task in agent.tasks:
        prompts.load(task.prompt)
        if task.decision_field and task.decision_field not in task.schema.model_fields:
            raise InvalidInput(f"{task.schema.__name__} has no field {task.decision_field!r}.", field="decision_field")
        if bool(task.decision_field) != bool(task.actions):
            raise InvalidInput(f"{agent.name}.{task.name} needs a decision field and actions, or neither.")
    _agents[agent.name] = agent


def unregister(name: str) -> None:
    """For tests."""
    _agents.pop(name, None)


def agents() -> list[Agent]:
    return [_agents[name] for name in sorted(_agents)]


def get(name: str) -> Agent | None:
    return _agents.get(name)


def permit(
    *, agent: str, task: str, prompt: str, schema: type[BaseModel], permitted: Collection[str], has_free_text: bool
) -> tuple[Agent, Task, Prompt]:
    """Who asks, what for, and with which prompt. Raises NotPermitted, or InvalidInput for an unknown prompt."""
    found = get(agent)
    if found is None:
        raise NotPermitted(f"No agent {agent!r} is registered; there are {', '.join(sorted(_agents))}.", field="agent")
    loaded = prompts.load(prompt)
    asked = found.task(task)
    if asked is None:
        raise NotPermitted(f"The agent {agent!r} has no task {task!r}.", field="purpose")
    if asked.prompt != prompt:
        raise NotPermitted(f"{agent}.{task} may ask with {asked.prompt} only, not with {prompt}.", field="prompt")
    if asked.schema is not schema:
        raise NotPermitted(f"{agent}.{task} answers in {asked.schema.__name__}, not {schema.__name__}.", field="schema")
    if stray := sorted(set(permitted) - set(asked.actions)):
        raise NotPermitted(f"{agent}.{task} may never choose {stray[0]!r}.", field="permitted")
    if asked.decision_field and not permitted:
        raise NotPermitted(f"{agent}.{task} decides, so a question must say what it permits.", field="permitted")
    if has_free_text and not asked.customer_text:
        raise NotPermitted(f"{agent}.{task} may not be sent text from customers.", field="free_text")
    return found, asked, loaded
