"""`sluice doctor`: what is missing here, with the fix."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.checks import all_checks
from cli.lakes import Desk
from cli.render import examples, show_json, show_table

app = typer.Typer()


@app.command("doctor", epilog=examples("sluice doctor", "sluice --lake my_lake doctor --json"))
def doctor(context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Look for everything the laptop needs; each line is ok, or names the fix. Exit 1 when something is missing."""
    desk: Desk = context.obj
    desk.only_on_laptop("doctor")
    checks = all_checks(desk)
    if as_json:
        show_json([{**asdict(check), "ok": check.ok} for check in checks])
    else:
        show_table(("", "", "found, or the fix"), [("ok" if check.ok else "missing", check.what, check.fix or check.found) for check in checks])
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
