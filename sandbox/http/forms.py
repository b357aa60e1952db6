"""Form bodies and query strings in Stripe's bracket notation: `items[0][price]=…`, `expand[]=…`, `metadata[k]=…`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

_SEGMENT = re.compile(r"\[([^\]]*)\]")


def parse(text: str) -> dict[str, Any]:
    """Nested dicts; `a[]=…` gives a list, indices (`a[0]`) stay dict keys until the parameter's type is known."""
    root: dict[str, Any] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        head, bracket, _ = key.partition("[")
        path = [head, *_SEGMENT.findall(key[len(head) :])] if bracket else [key]
        _put(root, path, value)
    return root


def _put(node: dict[str, Any], path: list[str], value: str) -> None:
    for index, segment in enumerate(path):
        last = index == len(path) - 1
        if last:
            node[segment] = value
            return
        if path[index + 1] == "":
            items = node.get(segment)
            if not isinstance(items, list):
                items = node[segment] = []
            if index + 2 == len(path):
                items.append(value)
                return
            # `a[][b]=1&a[][c]=2`: a key that repeats begins the next element.
            if not items or not isinstance(items[-1], dict) or path[index + 2] in items[-1]:
                items.append({})
            _put(items[-1], path[index + 2 :], value)
            return
        child = node.get(segment)
        if not isinstance(child, dict):
            child = node[segment] = {}
        node = child
