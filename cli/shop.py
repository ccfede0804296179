"""`sluice shop trade`: the demo shop goes on."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.lakes import Desk, laptop_of
from cli.render import examples, show_json, show_table

app = typer.Typer(name="shop", help="The demo shop behind the laptop's lake.", no_args_is_help=True)


@app.callback()
def shop() -> None:
    """The demo shop behind the laptop's lake."""


@app.command("trade", epilog=examples("sluice shop trade", "sluice shop trade --days 3 --faults", "sluice shop trade --json"))
def trade(
    context: typer.Context,
    days: Annotated[int, typer.Option(min=1, max=365, help="How many days' volume.")] = 1,
    faults: Annotated[bool, typer.Option("--faults/--no-faults", help="Plant faults, and write them into .local/ledger.json.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Trade some days, all dated now: orders and events, rates, updates, deletes, late commits, and faults when asked for."""
    desk: Desk = context.obj
    desk.only_on_laptop("shop trade")
    traded = [asdict(day) for day in laptop_of(desk).shop.trade(days, faults=faults)]
    if as_json:
        show_json(traded)
        return
    columns = ("orders", "events", "changed", "deleted", "late", "faults")
    show_table(("day", *columns), [(number, *(day[name] for name in columns)) for number, day in enumerate(traded, start=1)], right=("day", *columns))
