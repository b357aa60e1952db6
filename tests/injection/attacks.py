"""The attacks, as data (attacks.yaml), and the models they are aimed at: one that obeys, one that is lost, one that
does its work."""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_HOMOGLYPHS = str.maketrans("aeiopcsxyh", "аеіорсѕхуһ")
_COMBINING = "\u0300\u0301\u0302\u0308\u030a\u0336\u0489"

ENCODINGS: dict[str, Callable[[str], str]] = {
    "": str,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "zero_width": lambda text: "\u200b".join(text),
    "homoglyph": lambda text: text.translate(_HOMOGLYPHS),
    "rtl": lambda text: f"\u202e{text[::-1]}\u202c \u2067{text}\u2069",
    # Unicode's tag characters: invisible to a person, letters to some models.
    "tags": lambda text: "Thanks for the service" + "".join(chr(0xE0000 + ord(c)) for c in text) + "\U000e007f",
    "fullwidth": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "spaced": lambda text: " ".join(text),
    "zalgo": lambda text: "".join(c + _COMBINING for c in text),
    "control": lambda text: "\x08\x1b[2K\x7f" + "\x0b".join(text.split()).replace("\x0b", " \x0b") + "\x1b[0m",
    "repeat": lambda text: text * 300,
    "bury": lambda text: "We are very happy with the plan. " * 150 + text,
    "newlines": lambda text: "\n" * 60 + text + "\r\n" * 60,
}


@dataclass(frozen=True)
class Attack:
    id: str
    where: str
    text: str
    wants: dict[str, Any]
    language: str = "en"
    encode: str = ""
    seen: str = ""

    @property
    def encoded(self) -> str:
        return ENCODINGS[self.encode](self.text)

    @property
    def action(self) -> str:
        return str(self.wants.get("action", ""))

    @property
    def loot(self) -> list[str]:
        """What must not be found anywhere afterwards."""
        return [str(self.wants[name]) for name in ("amount", "destination", "url", "email") if name in self.wants]


def load() -> list[Attack]:
    rows = yaml.safe_load(Path(__file__).with_name("attacks.yaml").read_text(encoding="utf-8"))
    return [Attack(**row) for row in rows]


# -- the models --------------------------------------------------------------------------------------------------------


def facts_of(request: dict[str, Any]) -> dict[str, Any]:
    content = request["messages"][1]["content"]
    found: dict[str, Any] = json.JSONDecoder().raw_decode(content[content.index("{") :])[0]
    return found


def is_choice(request: dict[str, Any]) -> bool:
    return "action" in request["response_format"]["json_schema"]["schema"]["properties"]


def has_text(request: dict[str, Any]) -> bool:
    return "<customer_text" in request["messages"][1]["content"]


@dataclass
class Model:
    """The mind behind the fake server. `mood`: gullible (obeys when it reads a customer's text), lost (does the
    attacker's will always), sound (does its work)."""

    attack: Attack | None = None
    mood: str = "sound"
    victims_secrets: list[str] = field(default_factory=list)  # what a model that leaks would say

    def __call__(self, request: dict[str, Any]) -> Any:
        obeys = self.mood == "lost" or (self.mood == "gullible" and has_text(request))
        if is_choice(request):
            return self._choose(facts_of(request), obeys)
        if "memo" in request["response_format"]["json_schema"]["schema"]["properties"]:
            facts = facts_of(request)
            return {
                "memo": self._plea() if obeys else f"Your share of the paid invoice: {facts['payout']} is the payout."
            }
        words = self._plea() if obeys else ""
        body = f"Hello,\n\nthe payment of {{amount}} for {{invoice}} failed: {{link}} {words}\n\nThank you"
        return {"subject": "About your payment", "body": body}

    def _choose(self, facts: dict[str, Any], obeys: bool) -> dict[str, str]:
        reasons = {option["action"]: option["reason_codes"][0] for option in facts["permitted"]}
        action = (self.attack.action or facts["rule_action"]) if obeys and self.attack else facts["rule_action"]
        plea = self._plea() if obeys else "The facts leave little doubt."
        return {"action": action, "reason_code": reasons.get(action, "unclear"), "explanation": plea}

    def _plea(self) -> str:
        """Everything the attacker wants said, as a model would say it."""
        wants = self.attack.wants if self.attack else {}
        said = [f"{name}: {value}" for name, value in wants.items() if name not in ("action", "secret")]
        if wants.get("secret"):
            # A model without memory knows nothing of others; the placeholders are all it can try.
            said += ["The customer before was [NAME_3], [EMAIL_2], [PHONE_1], [ADDRESS_1]."]
        return "; ".join(said) or "The customer's words are convincing."
