"""`sluice demo`, which `make run` calls: a fresh lake, its first run, days of trade and further runs, and what came of it."""

import functools
import re
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer
from rich.text import Text

from cli import story
from cli.accounts import accounts
from cli.duck import Duck
from cli.errors import Misused
from cli.lakes import Desk, OpenLake, laptop_of
from cli.ledger import compared
from cli.machine import new_run_id
from cli.outcome import Outcome
from cli.queries import table_name, tables_of
from cli.render import duration, examples, out
from cli.run import followed, show_outcome

if TYPE_CHECKING:
    from local.laptop import Laptop

T = TypeVar("T")
app = typer.Typer()

# What is traded before each further run: its name, its first day, how many days.
TRADES = (("day 1", 1, 1), ("days 2 to 3", 2, 2))
QUESTIONS = Path(__file__).with_name("demo_questions.sql")
# Everything that a laptop makes in its home. What is not ours stays.
_MADE = ("state", "s3", "emulator", "glue", "logs", "reports", "cdk.out", "ledger.json", "postgres.json", "laptop.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question to gold, in words and in SQL."""

    title: str
    sql: str


@app.command("demo", epilog=examples("sluice demo", "make run"))
def demo(context: typer.Context) -> None:
    """The whole story on this laptop: a fresh lake, a first run, a day of trade and a run, two more days and a run, planted faults, the accounts.

    Begins anew in .local and stops everything at the end; refused where secrets.toml names a database of your own. Exit 1 when planted
    faults and rejects differ, or a table's account does not balance.
    """
    desk: Desk = context.obj
    desk.only_on_laptop("demo")
    refuse_own_database(desk.home)
    began = time.monotonic()
    questions = read_questions(desk)
    took: dict[str, float] = {}
    laptop = laptop_of(desk, story.told)
    story.chapter(
        "1. A lake on this laptop", "An AWS emulator, a PostgreSQL and a bucket with a month of a shop's trade, and the template, deployed."
    )
    _start_afresh(laptop)
    _timed(took, "start, fill the shop, deploy", lambda: _up(laptop))
    try:
        equal = _tell(desk, laptop, questions, took)
    except KeyboardInterrupt:
        story.told("stopping everything; nothing is left running, and `sluice demo` begins anew")
        raise
    finally:
        with _waiting("stopping everything"):
            laptop.down()
    out().print(f"All is stopped; it took {duration(time.monotonic() - began)}. `sluice local up` brings this lake back.", soft_wrap=True)
    if not equal:
        raise typer.Exit(1)


def refuse_own_database(home: Path) -> None:
    """Raises Misused: the demo removes the lake it finds, and holds its own shop's faults against the rejects."""
    own = home / "secrets.toml"
    if own.is_file():
        raise Misused(f"{own} names a database of your own, and the demo is the shop's; run it elsewhere: `sluice --home .local/demo demo`")


def read_questions(desk: Desk) -> Sequence[Question]:
    """Raises Refused, and Misused when the lake lacks a table of theirs: better now than after all runs."""
    import sqlglot

    lake = desk.compiled().lake
    parts = re.findall(r"^-- ([^\n]+)\n(.+?);$", QUESTIONS.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for _, sql in parts:
        for node in tables_of(sqlglot.parse_one(sql, read="duckdb")):
            table_name(node, lake)
    return [Question(title=title, sql=sql) for title, sql in parts]


def _tell(desk: Desk, laptop: "Laptop", questions: Sequence[Question], took: dict[str, float]) -> bool:
    """All runs and all accounts; whether every table balances, and ledger and rejects are equal."""
    lake = desk.open()
    story.chapter("2. The first run", "Everything is new: bronze takes all windows in, silver and gold are built, gates decide in between.")
    runs = {"first run": _run(lake)}
    story.chapter(
        "3. Days of trade: a run after the first, and one that catches up with two",
        "Orders, events, a file of corrected rates, updates, deletes, late commits, and faults planted on purpose, which the ledger remembers. "
        "All is dated now; events are loaded minutes after they occurred, so that it is the lookback that finds them: they are counted as late. "
        "What the lookback shows again counts as seen.",
    )
    for name, first, count in TRADES:
        with _waiting("trading"):
            days = _timed(took, f"trade of {name}", functools.partial(laptop.shop.trade, count, faults=True))
        story.show_trade(days, first=first)
        runs[name] = _run(lake)
    story.chapter("4. The accounts", "Every row is accounted for: read = accepted + rejected + seen, in every batch, and what was written is there.")
    story.show_batches_of(runs)
    balances = accounts(lake.lake, tuple(runs.values()), lambda name: _stored(lake, name))
    story.show_accounts(balances, runs)
    comparison = compared(lake, laptop.home / "ledger.json")
    story.show_comparison(comparison)
    story.show_times(took, runs)
    story.chapter("5. Gold answers", "Each by `sluice sql`, from the certified versions.")
    for question in questions:
        story.show_question(lake, question.title, question.sql)
    story.chapter("6. Where to read on", None)
    story.show_places(runs)
    return comparison.equal and all(account.balanced for account in balances)


def _stored(lake: OpenLake, name: str) -> int:
    if not isinstance(lake.engine, Duck):
        raise AssertionError("the demo is the laptop's, and there DuckDB answers")
    return lake.engine.stored(lake.lake.table(name), lake.state.certified().tables[name].version)


def _run(lake: OpenLake) -> Outcome:
    """One run to its end. A run that did not pass ends the demo with its exit code."""
    run = new_run_id(datetime.now(UTC))
    lake.machine.start(run)
    outcome = followed(lake, run, quiet=False)
    if outcome.status != "passed":
        show_outcome(lake, outcome)
        raise typer.Exit(outcome.exit_code)
    out().print(Text(f"run {run} passed", style="green"))
    return outcome


def _up(laptop: "Laptop") -> None:
    with _waiting("starting"):
        laptop.up()


def _start_afresh(laptop: "Laptop") -> None:
    home = laptop.home
    laptop.down()
    if not any((home / name).exists() for name in _MADE):
        story.told(f"a fresh lake in {home}")
        return
    story.told(f"a fresh lake in {home}: what an earlier one left there is removed")
    from local.postgres import remove_database

    remove_database(home)
    for name in _MADE:
        path = home / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _waiting(what: str) -> AbstractContextManager[object]:
    """A spinner on a terminal, nothing elsewhere."""
    return out().status(f"{what} …")


def _timed(took: dict[str, float], what: str, act: Callable[[], T]) -> T:
    started = time.monotonic()
    done = act()
    took[what] = time.monotonic() - started
    return done
