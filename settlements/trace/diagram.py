"""A graph as boxes and bands of an SVG, left to right. Arithmetic only; templates/admin/settlements/_trace_diagram.html
draws it, and the same figures stand in a table beneath.

A box is as high as what passes it, but never too low for its words; a band is as wide as its part of the box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from billingops.money import format_amount
from settlements.trace.graph import Flow, Node

BOX, GAP_X, GAP_Y, LEAST, ROOM = 166, 34, 12, 62, 340
MARGIN, WORDS, LINE = 2, 18, 17
MOST = 60  # boxes; more would be a wall: the table has them all


@dataclass(frozen=True)
class Box:
    """`number`: of the node, from 1. `tone`: the class of its colour; `mark`: a shape that says the same."""

    key: str
    number: int
    x: int
    y: int
    width: int
    height: int
    lines: tuple[tuple[int, str], ...]
    amount: str
    amount_y: int
    tone: str
    mark: str
    title: str
    focus: bool


@dataclass(frozen=True)
class Band:
    path: str
    tone: str
    title: str


@dataclass(frozen=True)
class Diagram:
    width: int
    height: int
    boxes: tuple[Box, ...]
    bands: tuple[Band, ...]
    left_out: int = 0


MARKS = {"rest": "◷", "problem": "✕", "end": "■", "way": "▸"}


def draw(nodes: Sequence[Node], flows: Sequence[Flow], *, currency: str, problems: set[str], focus: str) -> Diagram:
    """Columns that hold nothing are left out. Amounts in the boxes are without the currency, which the page names."""
    numbers = {node.key: number for number, node in enumerate(nodes, start=1)}
    through = {node.key: node.brings for node in nodes}
    for flow in flows:
        through[flow.target] += flow.amount
    shown = sorted(nodes, key=lambda node: -through[node.key])[:MOST]
    keys = {node.key for node in shown}
    nodes = [node for node in nodes if node.key in keys]
    flows = [flow for flow in flows if flow.source in keys and flow.target in keys]
    columns = sorted({node.column for node in nodes})
    place = {column: index for index, column in enumerate(columns)}
    most = max((sum(through[node.key] for node in nodes if node.column == column) for column in columns), default=0)
    heights = {node.key: max(LEAST, ROOM * through[node.key] // (most or 1)) for node in nodes}
    tops = _tops(nodes, columns, heights, flows)
    boxes = tuple(
        _box(
            node,
            numbers[node.key],
            MARGIN + place[node.column] * (BOX + GAP_X),
            tops[node.key],
            heights[node.key],
            format_amount(max(through[node.key], node.stays), currency).replace("-", "−"),
            node.key in problems,
            node.key == focus,
        )
        for node in nodes
    )
    return Diagram(
        width=2 * MARGIN + len(columns) * BOX + max(len(columns) - 1, 0) * GAP_X,
        height=max((box.y + box.height for box in boxes), default=0) + MARGIN,
        boxes=boxes,
        bands=_bands({box.key: box for box in boxes}, flows, through, currency),
        left_out=len(through) - len(nodes),
    )


def _tops(nodes: Sequence[Node], columns: list[int], heights: dict[str, int], flows: Sequence[Flow]) -> dict[str, int]:
    """Each column from the top, its boxes in the order of the middles of what flows into them."""
    tops: dict[str, int] = {}
    for column in columns:
        own = [node for node in nodes if node.column == column]
        before = {
            node.key: [
                tops[flow.source] + heights[flow.source] / 2
                for flow in flows
                if flow.target == node.key and flow.source in tops
            ]
            for node in own
        }
        order = {node.key: index for index, node in enumerate(own)}
        own.sort(
            key=lambda node: (
                sum(before[node.key]) / len(before[node.key]) if before[node.key] else 0,
                order[node.key],
            )
        )
        y = MARGIN
        for node in own:
            tops[node.key] = y
            y += heights[node.key] + GAP_Y
    return tops


def _box(node: Node, number: int, x: int, y: int, height: int, amount: str, wrong: bool, focus: bool) -> Box:
    tone = "problem" if wrong else "rest" if node.is_rest else "end" if node.stays else "way"
    words = _wrapped(node.label)
    first = y + height // 2 - (len(words) + 1) * LINE // 2 + 13
    return Box(
        key=node.key,
        number=number,
        x=x,
        y=y,
        width=BOX,
        height=height,
        lines=tuple((first + LINE * index, words[index]) for index in range(len(words))),
        amount=amount,
        amount_y=first + LINE * len(words),
        tone=tone,
        mark=MARKS[tone],
        title=f"{node.label}: {amount}" + (" – does not add up" if wrong else ""),
        focus=focus,
    )


def _wrapped(label: str) -> list[str]:
    """At most two lines of WORDS characters; what is longer ends with "…"."""
    lines: list[str] = [""]
    for word in label.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > WORDS:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    shown = [line if len(line) <= WORDS else f"{line[: WORDS - 1]}…" for line in lines[:2]]
    if len(lines) > 2:
        shown[1] = f"{shown[1][: WORDS - 1]}…"
    return shown


def _bands(boxes: dict[str, Box], flows: Sequence[Flow], through: dict[str, int], currency: str) -> tuple[Band, ...]:
    """One behind the other down the sides of the boxes, in the order of where they lead."""
    out: dict[str, int] = {}
    into: dict[str, int] = {}
    found = []
    for flow in sorted(flows, key=lambda flow: (boxes[flow.target].y, boxes[flow.source].y)):
        source, target = boxes[flow.source], boxes[flow.target]
        thick = (
            max(1, source.height * flow.amount // (through[flow.source] or flow.amount)),
            max(1, target.height * flow.amount // (through[flow.target] or flow.amount)),
        )
        start, end = source.y + out.get(flow.source, 0), target.y + into.get(flow.target, 0)
        out[flow.source] = min(out.get(flow.source, 0) + thick[0], source.height - 1)
        into[flow.target] = min(into.get(flow.target, 0) + thick[1], target.height - 1)
        back = target.x <= source.x
        title = f"{source.title.partition(':')[0]} → {target.title.partition(':')[0]}"
        title += f": {format_amount(flow.amount, currency)}{f' ({flow.label})' if flow.label else ''}"
        path = _back(source, target, start, end, thick) if back else _ahead(source, target, start, end, thick)
        found.append(Band(path, "back" if back else "ahead", title))
    return tuple(found)


def _ahead(source: Box, target: Box, start: int, end: int, thick: tuple[int, int]) -> str:
    left, right = source.x + source.width, target.x
    bend = left + (right - left) // 2
    below_start = min(start + thick[0], source.y + source.height)
    below_end = min(end + thick[1], target.y + target.height)
    return (
        f"M{left} {start} C{bend} {start} {bend} {end} {right} {end} "
        f"L{right} {below_end} C{bend} {below_end} {bend} {below_start} {left} {below_start} Z"
    )


def _back(source: Box, target: Box, start: int, end: int, thick: tuple[int, int]) -> str:
    """Money that comes back: out of the left side (or, within a column, of the right one), into the right one."""
    left, right = target.x + target.width, source.x
    if right <= left:  # within one column: around the right-hand side
        far = left + GAP_X // 2
        return f"M{left} {start} C{far} {start} {far} {end} {left} {end}"
    bend = left + (right - left) // 2
    return f"M{right} {start} C{bend} {start} {bend} {end} {left} {end}"
