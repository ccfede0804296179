"""`sluice demo`, `local` and `shop` without a laptop: what is wiped and what is not, what is asked, what is shown."""

import io
import json
import time

import pytest
from rich.console import Console

from cli import shop as shop_module
from cli.demo import QUESTIONS, _start_afresh, read_questions, refuse_own_database
from cli.errors import Misused
from cli.follow import Look
from cli.lakes import Desk, open_lake
from cli.machine import Execution
from cli.render import duration
from cli.run import _Picture
from compiler import compile_lake
from local.places import ROOT
from local.shop import Traded
from shared.core.messages import RunRecord
from shared.spec.lake import Lake, PinnedLake
from tests.fakes import START
from tests.unit.cli_desk import FakeDesk


class FakeLaptop:
    """local.laptop.Laptop, as far as the demo clears it and the shop trades."""

    def __init__(self, home):
        self.home, self.downs = home, 0
        self.shop = self

    def down(self):
        self.downs += 1
        return True

    def trade(self, days, *, faults):
        return [Traded(orders=3, events=9, changed=2, deleted=1, late=1, faults=10 if faults else 0)] * days


def test_a_fresh_lake_keeps_the_users_own_files(tmp_path):
    """`make run` may be repeated; what we did not make is nobody's to delete."""
    for made in ("state/x", "s3/y", "logs/z"):
        (tmp_path / made).mkdir(parents=True)
    for file in ("ledger.json", "secrets.toml", "notes.txt"):
        (tmp_path / file).write_text("{}")
    laptop = FakeLaptop(tmp_path)

    _start_afresh(laptop)

    assert ["notes.txt", "secrets.toml"] == sorted(path.name for path in tmp_path.iterdir())
    assert 1 == laptop.downs


def test_the_demo_does_not_touch_a_lake_on_the_users_own_database(tmp_path):
    """It would remove that lake and hold the shop's faults against it."""
    refuse_own_database(tmp_path)
    (tmp_path / "secrets.toml").write_text("[servers.shop]")

    with pytest.raises(Misused, match="sluice --home .local/demo demo"):
        refuse_own_database(tmp_path)


def test_the_demos_questions_ask_tables_of_the_shipped_lake(tmp_path):
    """Four answers from gold."""
    questions = read_questions(Desk(folder=ROOT / "lake", environment="local", home=tmp_path, opener=open_lake))

    assert 4 == len(questions)
    assert all("gold." in question.sql and question.title.endswith("?") for question in questions)
    assert QUESTIONS.read_text().count("-- ") == 4


def test_another_lake_is_told_before_anything_is_wiped(tmp_path):
    """The demo is the shipped lake's; two runs later would be late to say so."""
    whole = compile_lake(ROOT / "lake")

    class Other(Desk):
        def compiled(self):
            return PinnedLake(lake=Lake(tables=whole.tables[:4], environments=whole.environments), hash="x")

    with pytest.raises(Misused, match="is not a table of this lake"):
        read_questions(Other(folder=ROOT / "lake", environment="local", home=tmp_path, opener=open_lake))


def test_trade_tells_each_day(tmp_path, monkeypatch):
    """In a table, and the same as JSON."""
    monkeypatch.setattr(shop_module, "laptop_of", lambda _desk: FakeLaptop(tmp_path))
    desk = FakeDesk(tmp_path)

    told = desk.sluice("shop", "trade", "--days", "2", "--faults", "--json")

    assert [{"orders": 3, "events": 9, "changed": 2, "deleted": 1, "late": 1, "faults": 10}] * 2 == json.loads(told.stdout)
    assert "late" in desk.sluice("shop", "trade").stdout


def test_a_terminal_shows_state_time_and_verdicts():
    """What is drawn anew while a run goes on."""
    record = RunRecord(
        run="run-1",
        fence=1,
        status="running",
        started=START,
        ended=None,
        verdicts={"ingest": {"bronze.orders": "warn"}},
        counts={"ingest": {"bronze.orders": {"read": 3, "accepted": 1, "rejected": 1, "seen": 1}}},
        timings={},
        problem=None,
    )
    picture = _Picture("run-1", time.monotonic())
    console = Console(record=True, width=120, file=io.StringIO())

    console.print(picture)
    picture.look = Look(run="run-1", execution=Execution(status="RUNNING", error=None, cause=None), state="GateIngest", record=record)
    console.print(picture)

    shown = console.export_text()
    for word in ("run-1  starting", "run-1  GateIngest", "bronze.orders", "warn", "read 3 = accepted 1 + rejected 1 + seen 1"):
        assert word in shown


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (125, "2 min 05 s"), (11400, "3 h 10 min"), (187200, "2 d 4 h")]
)
def test_durations_are_read_at_a_glance(seconds, text):
    """Two units at most."""
    assert text == duration(seconds)
