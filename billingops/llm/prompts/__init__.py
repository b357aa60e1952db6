"""The prompts, as versioned files: `<name>-v<version>.md`. A change of wording is a new file with the next version.

A file has a front matter (name, version, purpose, facts, names, codes), then `# system` and `# user`. `facts` is the
allow-list: the keys, at any depth, that may be sent with this prompt; what stands under a key in `names` is sent as a
placeholder only; what stands under a key in `codes` is a word of a closed list (a decline code, an action), which stays
as it is even where a customer is called like it. `{{facts}}` and `{{customer_text}}` are filled in.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from billingops.exceptions import InvalidInput

_FOLDER = Path(__file__).parent
_SHAPE = re.compile(r"---\n(?P<front>.*?)\n---\n+# system\n(?P<system>.*?)\n# user\n(?P<user>.*)", re.DOTALL)


@dataclass(frozen=True)
class Prompt:
    """`label` is what people read ("dunning-choose-v1"); `sha256` seals the whole file."""

    name: str
    version: int
    purpose: str
    facts: frozenset[str]
    names: frozenset[str]
    codes: frozenset[str]
    system: str
    user: str
    sha256: str
    raw: str

    @property
    def label(self) -> str:
        return f"{self.name}-v{self.version}"

    def messages(self, *, facts: str, customer_text: str) -> list[dict[str, str]]:
        """The two messages, filled in one pass: what is filled in is never looked at again."""
        values = {"facts": facts, "customer_text": customer_text}
        user = re.sub(r"\{\{(facts|customer_text)\}\}", lambda match: values[match.group(1)], self.user)
        return [{"role": "system", "content": self.system}, {"role": "user", "content": user}]


@cache
def load(label: str) -> Prompt:
    """The prompt in `prompts/<label>.md`. Raises InvalidInput when there is none, or the file contradicts its name."""
    path = _FOLDER / f"{label}.md"
    if not re.fullmatch(r"[a-z0-9-]+-v\d+", label) or not path.is_file():
        raise InvalidInput(f"There is no prompt {label!r}; there are {', '.join(labels())}.", field="prompt")
    raw = path.read_bytes()
    match = _SHAPE.fullmatch(raw.decode("utf-8"))
    if match is None:
        raise InvalidInput(f"{path.name} needs a front matter, `# system` and `# user`, in this order.", field="prompt")
    front = yaml.safe_load(match["front"])
    prompt = Prompt(
        name=front["name"],
        version=front["version"],
        purpose=front["purpose"],
        facts=frozenset(front["facts"]),
        names=frozenset(front.get("names", ())),
        codes=frozenset(front.get("codes", ())),
        system=match["system"].strip(),
        user=match["user"].strip(),
        sha256=hashlib.sha256(raw).hexdigest(),
        raw=raw.decode("utf-8"),
    )
    if prompt.label != label:
        raise InvalidInput(f"{path.name} calls itself {prompt.label}.", field="prompt")
    return prompt


def labels() -> list[str]:
    return sorted(path.stem for path in _FOLDER.glob("*-v*.md"))
