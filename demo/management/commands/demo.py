"""`manage.py demo [--once] [--json]`: the main job on embedded defaults. See demo/story.py for what it plays.

`--scale month` plays a month of 300 sellers and closes it instead; see demo/month/.
"""

from __future__ import annotations

import io
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.utils import timezone

from billingops.inbox.models import InboundEvent
from billingops.stripe import client
from demo import office, people, verdicts
from demo.desk import Desk
from demo.month.run import MonthDemo
from demo.processes import RECEIVERS, Processes, free_port
from demo.receiver import Receiver
from demo.story import Story
from sandbox import SandboxServer

CONFIG = Path(__file__).resolve().parents[2] / "config.yaml"
SANDBOX_PORT = 12111
INVOICES = 3000
LEAST_SELLERS, INVOICES_PER_SELLER = 12, 4  # with less not every kind of term, rule and fault is there


def _interrupt(*args: Any) -> None:
    """Either signal ends the demo in the same way: children first."""
    raise KeyboardInterrupt


class Command(BaseCommand):
    help = (
        "Loads the demo config, starts sandbox, web server and worker, and plays three months through signed webhooks."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="decide on some, wait for the confirmations, check, and stop"
        )
        parser.add_argument(
            "--json", action="store_true", help="print the result as JSON on stdout, and nothing else there"
        )
        parser.add_argument(
            "--port", type=int, default=8000, help="of the web server (the next free one if it is taken)"
        )
        parser.add_argument(
            "--scale", choices=["story", "month"], default="story", help="month: a month of many sellers, and its close"
        )
        parser.add_argument("--sellers", type=int, default=300, help="with --scale month: at least 12")
        parser.add_argument("--invoices", type=int, default=INVOICES, help="with --scale month: paid invoices")

    def handle(self, *args: Any, **options: Any) -> None:
        self.quiet = options["json"]
        for stop in (signal.SIGINT, signal.SIGTERM):  # a shell that starts us in the background has SIGINT ignored
            signal.signal(stop, _interrupt)
        if not settings.STRIPE_IS_SANDBOX:
            raise CommandError("The demo plays against the sandbox only: unset STRIPE_SECRET_KEY.")
        self._fresh_database()
        call_command("migrate", verbosity=0)
        if options["scale"] == "month":
            self._month(options)
            return
        call_command("import_config", str(CONFIG), stdout=self.stderr if self.quiet else self.stdout)
        tokens, password = people.create()
        started = timezone.now()
        port = free_port(options["port"])
        webhook = f"http://127.0.0.1:{port}/stripe/webhook/"
        with SandboxServer(
            free_port(SANDBOX_PORT), webhook_url=webhook, webhook_secret=settings.SANDBOX_WEBHOOK_SECRET
        ) as sandbox:
            settings.STRIPE_API_BASE = sandbox.url
            client.reset()
            processes = Processes(port=port, stripe_api_base=sandbox.url, log_dir=settings.VAR_DIR / "demo-logs")
            settings.OUTBOUND_ALLOW_PRIVATE = [RECEIVERS]
            try:
                with Receiver() as platform, processes:
                    self._play(sandbox, processes, platform, tokens, password, started, once=options["once"])
            except KeyboardInterrupt:
                self._say("\nStopped: web server, worker and sandbox are down.")
            except (RuntimeError, LookupError) as error:
                raise CommandError(str(error))

    def _play(
        self,
        sandbox: SandboxServer,
        processes: Processes,
        platform: Receiver,
        tokens: dict[str, str],
        password: str,
        started: Any,
        *,
        once: bool,
    ) -> None:
        office.prepare(platform)
        story = Story(sandbox, say=self._say, check=processes.check)
        story.play()
        desk = Desk(processes.url, tokens, check=processes.check)
        self._say("A morning in the office: a batch, an edited message, a question, a back test")
        wanted = office.morning(desk, story.tally).wanted
        if once:
            self._say("Finance approves some and rejects others, over the API")
            verdicts.decide(desk, story, wanted)
        states = desk.wait(wanted)
        self._say("The post comes: an answer, and a message that could not be delivered")
        office.mail_comes_in(story.tally)
        story.settle()
        found = verdicts.counts(desk, story, wanted, states, started)
        found["platform_told"] = {"verified": len(platform.told), "refused": platform.refused}
        wrong = verdicts.differences(story, found, wanted, states, once=once)
        if self.quiet:
            self.stdout.write(json.dumps({"ok": not wrong, "wrong": wrong, **found}, indent=2))
        else:
            self._report(found, wrong)
        if once:
            if wrong:
                raise CommandError(f"{len(wrong)} of the story's demands are not met: " + "; ".join(wrong))
            return
        self._stay(sandbox, processes, password)

    def _stay(self, sandbox: SandboxServer, processes: Processes, password: str) -> None:
        self._say(f"\n  Back office   {processes.url}/admin/")
        self._say(f"  API           {processes.url}/api/docs/")
        self._say(f"  Sandbox       {sandbox.url}")
        self._say(f"  Log in as     {', '.join(people.ROLES)}   (password {password})")
        self._say(f"  Logs          {processes.log_dir}")
        self._say("\nCtrl-C stops all of it.")
        while True:
            processes.check()
            time.sleep(1)

    def _month(self, options: dict[str, Any]) -> None:
        sellers, invoices = options["sellers"], options["invoices"]
        if sellers < LEAST_SELLERS or invoices < INVOICES_PER_SELLER * sellers:
            raise CommandError(
                f"A month needs at least {LEAST_SELLERS} sellers and {INVOICES_PER_SELLER} invoices for each."
            )
        with SandboxServer(free_port(SANDBOX_PORT), kept_requests=100) as sandbox:
            settings.STRIPE_API_BASE = sandbox.url
            client.reset()
            demo = MonthDemo(sandbox, sellers=sellers, invoices=invoices, say=self._say)
            file = settings.VAR_DIR / "demo-month.yaml"
            file.write_text(demo.config, encoding="utf-8")
            self._say(f"{sellers} sellers, {invoices} invoices in {demo.month.name}; the config file is {file}")
            call_command("import_config", str(file), stdout=io.StringIO())
            tokens, password = people.create()
            port = free_port(options["port"])
            processes = Processes(port=port, stripe_api_base=sandbox.url, log_dir=settings.VAR_DIR / "demo-logs")
            try:
                demo.prepare()
                with processes:
                    desk = Desk(processes.url, tokens, check=processes.check)
                    found = demo.play(processes, desk)
                    if self.quiet:
                        self.stdout.write(json.dumps(found, indent=2))
                    else:
                        self._month_report(found)
                    if options["once"]:
                        if not found["ok"]:
                            raise CommandError(f"{len(demo.wrong)} of the close's demands are not met.")
                        return
                    self._stay(sandbox, processes, password)
            except KeyboardInterrupt:
                self._say("\nStopped: web server, worker and sandbox are down.")
            except (RuntimeError, LookupError) as error:
                raise CommandError(str(error))

    def _month_report(self, found: dict[str, Any]) -> None:
        self._say("")
        told = {**found, "faults": {**found["faults"]}}
        by_kind = told["faults"].pop("by kind")
        told["verify_ledger"] = found.get("verify_ledger", {}).get("ok")
        for name, value in told.items():
            if name != "wrong":
                self._line(name, value)
        self._say("\n  Faults put in, and how each was found:")
        for kind, row in by_kind.items():
            how = f"{row['state'].replace('_', ' ')}, {row['cause'].replace('_', ' ')}" if "state" in row else "–"
            self._say(f"    {kind:45} {row['found']} of {row['to be found']}   {how}")
        for line in found["wrong"]:
            self._say(f"  OFF: {line}")

    def _line(self, name: str, value: Any) -> None:
        text = ", ".join(f"{key} {count}" for key, count in value.items()) if isinstance(value, dict) else value
        self._say(f"  {name.replace('_', ' '):24} {text}")

    def _report(self, found: dict[str, Any], wrong: list[str]) -> None:
        self._say("")
        for name, value in found.items():
            self._line(name, value)
        waiting = found["suggestions_by_state"].get("pending", 0)
        self._say(f"\n  {waiting} suggestions wait for a person.")
        for line in wrong:
            self._say(f"  OFF: {line}")

    def _say(self, text: str) -> None:
        stream = self.stderr if self.quiet else self.stdout
        stream.write(text)
        stream.flush()

    def _fresh_database(self) -> None:
        """The sandbox forgets everything when it stops, so an embedded database of an earlier run is put aside."""
        name = Path(str(settings.DATABASES["default"]["NAME"]))
        embedded = connection.vendor == "sqlite" and name.parent == settings.VAR_DIR
        used = embedded and InboundEvent._meta.db_table in connection.introspection.table_names()
        if not used or not InboundEvent.objects.exists():
            return
        connection.close()
        aside = name.with_name(f"{name.stem}-until-{time.strftime('%Y%m%d-%H%M%S')}{name.suffix}")
        for suffix in ("", "-wal", "-shm"):
            if (part := Path(f"{name}{suffix}")).exists():
                os.replace(part, f"{aside}{suffix}")
        self.stderr.write(f"The database of an earlier run is kept as {aside.name}.")
