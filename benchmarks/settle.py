"""Settling a month: paid invoices of the mirror are shared out, recorded and booked, then each seller's payout of the
month is suggested. The statements are what matters: their number must grow far slower than the invoices'."""

from __future__ import annotations

from typing import Any

from benchmarks import processes, report
from benchmarks.databases import Base, Server

NAME = "settle"


def run(server: Server, base: Base, *, rounds: int, quick: bool) -> report.Section:
    invoices, sellers = (2_000, 10) if quick else (100_000, 300)
    section = report.Section(NAME, setting={"invoices": invoices, "sellers": sellers, "processes": 1})
    result = _work(server, base, invoices, sellers)
    others = result["statements"]["others"]
    section.figures.append(
        report.count(
            "statements per 100 invoices, inserts aside",
            value=round(others * 100 / result["invoices"], 3),
            limit=3,
            unit="statements",
            limit_name="the issue's limit",
        )
    )
    section.notes.append(
        f"{result['invoices']} invoices in {result['seconds']:.1f} s "
        f"({result['invoices'] / result['seconds']:,.0f}/s); {others} statements and {result['statements']['inserts']} "
        f"inserts ({result['statements']['by verb']})"
    )
    section.notes.append(
        f"{result['payouts']} payouts suggested in {result['payout seconds']:.1f} s with "
        f"{result['payout statements']} statements"
    )
    if section.falls_short:
        section.profiles[NAME] = _work(server, base, invoices // 10, sellers, "--profile")["profile"]
    return section


def _work(server: Server, base: Base, invoices: int, sellers: int, *flags: str) -> dict[str, Any]:
    with server.copy(base.name, "bench_settle") as database:
        env = processes.environment(database=database, api_base="http://127.0.0.1:9")
        arguments = [str(invoices), str(sellers), *flags]
        result: dict[str, Any] = processes.python("-m", "benchmarks.workers.settle", *arguments, env=env)
        return result
