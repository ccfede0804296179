"""What goes to the terminal: tables, numbers, durations and JSON. Data on stdout, everything else on stderr."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.spec.codec import to_json

# Not a terminal: a pipe or a file has no width, and a cut value is a wrong value.
_PIPE_WIDTH = 240
_COLOURS = {
    "pass": "green",
    "passed": "green",
    "ok": "green",
    "running": "cyan",
    "warn": "yellow",
    "warning": "yellow",
    "blocked": "yellow",
    "halt": "red",
    "failed": "red",
    "missing": "red",
    "wrong": "red",
    "unknown": "red",
}


def out() -> Console:
    """stdout as it is now."""
    return _console(stderr=False)


def err() -> Console:
    """stderr as it is now."""
    return _console(stderr=True)


def show_json(value: Any) -> None:
    """One JSON document on stdout: dataclasses by their fields, instants in ISO 8601 UTC, decimals as texts."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None, right: Sequence[str] = ()) -> None:
    """A table on stdout; `right` names the columns of numbers."""
    out().print(table_of(columns, rows, title=title, right=right))


def table_of(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None, right: Sequence[str] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    return table


def cell(value: Any) -> Text:
    """A value as text, never as markup."""
    if value is None:
        return Text("-", style="dim")
    if isinstance(value, bool):
        return Text(str(value).lower())
    if isinstance(value, int):
        return Text(number(value))
    if isinstance(value, datetime):
        return Text(instant(value))
    text = str(value)
    return Text(text, style=_COLOURS.get(text, ""))


def number(value: int) -> str:
    return f"{value:,}"


def instant(value: datetime) -> str:
    """`2026-11-23 04:00:05` in UTC; microseconds only where there are some."""
    at = value.astimezone(UTC) if value.tzinfo else value
    return at.strftime("%Y-%m-%d %H:%M:%S") + (f".{at.microsecond:06d}" if at.microsecond else "")


def moment(value: datetime) -> str:
    """To the second, for reading."""
    return instant(value.replace(microsecond=0))


def duration(seconds: float) -> str:
    """`7.2 s`, `2 min 05 s`, `3 h 10 min`, `2 d 4 h`."""
    whole = round(seconds)
    if seconds < 59.95:
        return f"{max(seconds, 0.0):.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n\n".join(["Examples:", *(f"  {line}" for line in lines)])


def listed(words: Iterable[str]) -> str:
    return ", ".join(words) or "none"


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=_PIPE_WIDTH)


def _plain(value: Any) -> Any:
    if isinstance(value, (Decimal, timedelta)):
        return str(value)
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return dict(value)
    return to_json(value)
