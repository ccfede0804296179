"""`sluice doctor`: what is missing here; with --env, what a first deployment would stumble over. Each line is ok, or says what to type."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from cli.checks import all_checks
from cli.doctor_account import bootstrap_lines, check_credentials
from cli.doctor_formation import formation_lines
from cli.doctor_found import Account, Line, look
from cli.doctor_names import name_lines
from cli.doctor_quotas import quota_lines
from cli.doctor_schedule import schedule_lines
from cli.doctor_sources import source_lines
from cli.lakes import LAPTOP, Desk, clients_of
from cli.render import cell, examples, out, show_json, show_table
from shared.spec.environment import Environment
from shared.spec.lake import Lake

app = typer.Typer()


@app.command("doctor", epilog=examples("sluice doctor", "sluice --env prod doctor", "sluice --lake my_lake doctor --json"))
def doctor(context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Look for everything the laptop needs; with --env, for all that a deployment of that environment needs in its account.

    Each line is ok, a warning, or says what to type. What these credentials may not look at is unknown, and names the permission. Nothing is
    changed, and no secret is printed. Exit 1 when something is wrong, missing or unknown.
    """
    desk: Desk = context.obj
    if desk.environment == LAPTOP:
        _laptop(desk, as_json=as_json)
    else:
        lake = desk.compiled().lake
        environment = desk.chosen(lake)
        _deployed(list(environment_lines(lake, environment, clients_of(environment), datetime.now(UTC))), as_json=as_json)


def environment_lines(lake: Lake, environment: Environment, client: Callable[[str], Any], at: datetime) -> Iterator[Line]:
    """All that is known of an environment's account before it is deployed to. With credentials of another account nothing else is asked."""
    account = Account(environment, client)
    credentials = look("credentials", lambda: check_credentials(account))
    yield credentials
    if not credentials.ok:
        yield Line(what="all else", status="unknown", found="not looked at with these credentials", fix="mend the line above, then ask again")
        return
    yield from bootstrap_lines(account)
    yield from formation_lines(account)
    yield from quota_lines(lake, account)
    yield from source_lines(lake, account)
    yield from name_lines(lake, account)
    yield from schedule_lines(lake, account, at)


def _laptop(desk: Desk, *, as_json: bool) -> None:
    checks = all_checks(desk)
    if as_json:
        show_json([{**asdict(check), "ok": check.ok} for check in checks])
    else:
        show_table(("", "", "found, or the fix"), [("ok" if check.ok else "missing", check.what, check.fix or check.found) for check in checks])
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def _deployed(lines: Sequence[Line], *, as_json: bool) -> None:
    """Line by line and never wrapped: what is to be typed is copied."""
    if as_json:
        show_json([{**asdict(line), "ok": line.ok} for line in lines])
    else:
        for line in lines:
            out().print(Text.assemble(cell(line.status), " " * (9 - len(line.status)), f"{line.what:<22}{line.found}"), soft_wrap=True)
            if line.fix is not None:
                out().print(Text(f"{'':<9}{'->':<22}{line.fix}"), soft_wrap=True)
        bad = sum(not line.ok for line in lines)
        out().print(f"{bad} of {len(lines)} to mend" if bad else "nothing stands in the way of a deployment")
    if not all(line.ok for line in lines):
        raise typer.Exit(1)
