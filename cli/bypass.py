"""`sluice bypass`: approved exceptions, each turning a halt of one rule of one table into a warning until it expires."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.text import Text

from cli.errors import Misused, refusing
from cli.lakes import Desk
from cli.render import examples, listed, moment, out, show_json, show_table
from shared.core.bypass import granted
from shared.core.messages import Bypass
from shared.spec.codec import CodecError, parse_instant, to_json

app = typer.Typer(name="bypass", help="Approved exceptions from a rule, for a while.", no_args_is_help=True)

_UNITS = {"d": "days", "h": "hours"}
_TABLE = typer.Argument(metavar="TABLE", help="The table, as in silver.orders.")
_RULE = typer.Argument(metavar="RULE", help="The rule's id, as findings name it.")


@app.callback()
def bypass() -> None:
    """Approved exceptions from a rule, for a while."""


@app.command(
    "add",
    epilog=examples(
        "sluice bypass add silver.orders amount_positive --reason 'refunds of the recall' --ticket OPS-214 --expires 7d",
        "sluice --env prod bypass add gold.fact_sales has_rows --reason 'closed over Christmas' --ticket OPS-220 --expires 2026-12-28T00:00Z",
    ),
)
def add(
    context: typer.Context,
    table: Annotated[str, _TABLE],
    rule: Annotated[str, _RULE],
    reason: Annotated[str, typer.Option(help="Why the rule may be broken; stands in every report.")],
    ticket: Annotated[str, typer.Option(help="Where that was decided.")],
    expires: Annotated[str, typer.Option(metavar="WHEN", help="An instant with its offset, or from now: 7d, 12h. At most 30 days.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Grant an exception, or renew one. You are its approver: by your AWS identity, on the laptop by your name.

    Until it expires a halt of this rule is a warning, in every report. Rules on classified columns are never bypassed. Exit 2: refused.
    """
    desk: Desk = context.obj
    lake, at = desk.open(), datetime.now(UTC)
    wanted = Bypass(table=table, rule=rule, approver=lake.caller(), ticket=ticket, reason=reason, expires=_instant(expires, at))
    with refusing("sluice bypass add"):
        one = granted(lake.lake, wanted, at=at)
    lake.state.put_bypass(one)
    if as_json:
        show_json(to_json(one))
    else:
        out().print(Text(f"{table}: until {moment(one.expires)} UTC a halt of {rule} is a warning; approved by {one.approver}"), soft_wrap=True)


@app.command("list", epilog=examples("sluice bypass list", "sluice --env prod bypass list --json"))
def list_bypasses(context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Every exception, the expired among them."""
    desk: Desk = context.obj
    found, at = desk.open().state.bypasses(), datetime.now(UTC)
    if as_json:
        show_json([{**to_json(one), "expired": one.expires <= at} for one in found])
    elif found:
        show_bypasses(found, at)
    else:
        out().print("no bypass: every rule halts as its contract says")


@app.command("remove", epilog=examples("sluice bypass remove silver.orders amount_positive"))
def remove(
    context: typer.Context,
    table: Annotated[str, _TABLE],
    rule: Annotated[str, _RULE],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take an exception back: from the next gate on the rule halts again. Exit 2: there is none."""
    desk: Desk = context.obj
    state = desk.open().state
    known = state.bypasses()
    gone = next((one for one in known if (one.table, one.rule) == (table, rule)), None)
    if gone is None:
        there = listed(f"{one.table} {one.rule}" for one in known)
        raise Misused(f"sluice bypass remove: {table} has no bypass of {rule}; there are: {there}")
    state.remove_bypass(table, rule)
    show_json(to_json(gone)) if as_json else out().print(Text(f"{table}: {rule} halts again"), soft_wrap=True)


def show_bypasses(bypasses: tuple[Bypass, ...], at: datetime) -> None:
    rows = [
        (one.table, one.rule, moment(one.expires) if one.expires > at else f"expired {moment(one.expires)}", one.approver, one.ticket, one.reason)
        for one in bypasses
    ]
    show_table(("table", "bypassed rule", "until (UTC)", "approver", "ticket", "reason"), rows)


def _instant(text: str, at: datetime) -> datetime:
    """Raises Misused."""
    spoken = re.fullmatch(r"([1-9]\d{0,3})([dh])", text)
    if spoken is not None:
        return at + timedelta(**{_UNITS[spoken[2]]: int(spoken[1])})
    try:
        return parse_instant(text)
    except (CodecError, ValueError) as odd:
        raise Misused(f"sluice bypass add: --expires {text} is no time: {odd}; write 7d, 12h, or an instant such as 2026-12-01T00:00Z") from odd
