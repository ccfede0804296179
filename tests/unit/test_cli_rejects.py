"""`sluice rejects`: counts and rows of the rejected lane, what a replay would take, and the run that takes it."""

import pytest

from cli import run as run_module
from shared.core.messages import Batch
from tests.fakes import START
from tests.machine import is_bad
from tests.unit.cli_desk import FakeDesk
from tests.unit.test_replay_protocol import mend


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A lake with two good orders and one that was rejected."""
    monkeypatch.setattr(run_module, "_LAPTOP_PAUSE_S", 0)
    desk = FakeDesk(tmp_path)
    desk.trade(("O2", -5), ("O3", 7))
    desk.json("run")
    return desk


def again(desk):
    """The rejected row is judged by the contract as it was, and stays open in a batch of its own."""
    return desk.json("rejects", "replay", "bronze.orders")


def test_rejects_are_counted_by_table_rule_and_run(desk):
    """Each table's rows are held against what its certified batches counted."""
    found = desk.json("rejects", "list")

    orders, products = found
    assert ("bronze.orders", 1, 0, 0, True) == (orders["table"], orders["open"], orders["replayed"], orders["copy"], orders["holds"])
    assert [{"rule": "amount.range", "run": "run of 2", "open": 1, "replayed": 0, "copy": 0}] == orders["rejects"]
    assert ("bronze.products", 0, []) == (products["table"], products["open"], products["rejects"])
    told = desk.sluice("rejects", "list")
    assert 0 == told.exit_code
    assert "amount.range" in told.stdout
    assert "holds" in told.stdout


def test_a_table_that_does_not_hold_what_its_batches_counted_is_an_error(desk):
    """Something else wrote there."""
    batch = next(lanes for lanes in desk.world.latest("bronze.orders").values() if lanes["rejected"])
    batch["rejected"].append(batch["rejected"][0])

    told = desk.sluice("rejects", "list")

    assert 1 == told.exit_code
    assert "DOES NOT HOLD" in told.stdout
    assert "something else wrote there" in told.stderr


def test_a_rejected_row_is_shown_with_its_reasons_and_what_the_source_gave(desk):
    """As bronze has it: masked where the contract masks."""
    (row,) = desk.json("rejects", "show", "bronze.orders")

    assert ("bronze.orders-0000000002/0", "open", ["amount.range"], None) == (row["row"], row["state"], row["reasons"], row["replayed_from"])
    assert ("O2", "-5") == (row["original"]["id"], row["original"]["amount"])
    told = desk.sluice("rejects", "show", "bronze.orders").stdout
    assert 'amount "-5"' in told
    assert [] == desk.json("rejects", "show", "bronze.orders", "--rule", "it's not a rule")
    assert "no open rejects" in desk.sluice("rejects", "show", "bronze.orders", "--run", "run-9").stdout


def test_a_replay_brings_in_what_holds_now_and_closes_the_rejects(desk):
    """It is a run like any other, with a batch more; status tells the account before and after."""
    before = next(source["account"] for source in desk.json("status")["sources"] if source["table"] == "bronze.orders")
    mend(desk.world)

    ended = again(desk)

    assert "passed" == ended["status"]
    assert [True] == [batch["replay"] for batch in ended["batches"] if batch["replay"]]
    assert {"O1", "O2", "O3"} == set(desk.world.content("silver.orders"))
    after = next(source["account"] for source in desk.json("status")["sources"] if source["table"] == "bronze.orders")
    assert {"read": 3, "accepted": 2, "open": 1, "copies": 0, "seen": 0, "replayed": 0, "holds": True} == before
    assert {"read": 6, "accepted": 3, "open": 0, "copies": 0, "seen": 3, "replayed": 1, "holds": True} == after  # the lookback saw them again
    assert "6 = 3 + 0 + 0 + 3" in desk.sluice("status").stdout
    (row,) = desk.json("rejects", "show", "bronze.orders", "--all")
    assert "replayed" == row["state"]
    assert "nothing to replay" == again(desk)["status"]


def test_rows_still_bad_point_back_to_what_they_were(desk):
    """Who looks at one finds the other."""
    ended = desk.sluice("rejects", "replay", "bronze.orders")

    assert 0 == ended.exit_code, ended.output
    assert "rejects replayed" in ended.stdout
    (row,) = desk.json("rejects", "show", "bronze.orders")
    assert "bronze.orders-0000000002/0" == row["replayed_from"]
    assert {"open": 1, "replayed": 1, "copy": 0}.items() <= desk.json("rejects", "list")[0].items()


def test_a_dry_run_says_what_would_be_taken_and_starts_nothing(desk):
    """By reason and run, and whether the source is asked."""
    started = len(desk.machine.executions)

    (line,) = desk.json("rejects", "replay", "bronze.orders", "--dry-run")

    assert {"reasons": ["amount.range"], "run": "run of 2", "rows": 1, "from": "bronze"} == line
    told = desk.sluice("rejects", "replay", "bronze.orders", "--dry-run")
    assert "1 open rejects of bronze.orders would be judged again" in told.stdout
    assert started == len(desk.machine.executions)


def test_a_replay_can_be_left_to_itself(desk):
    """Only its id."""
    told = desk.json("rejects", "replay", "bronze.orders", "--no-follow")

    assert "started" == told["status"]
    assert told["run"] in desk.machine.executions


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("orders",), "orders is not a bronze table of this lake. Did you mean bronze.orders? There are bronze.orders, bronze.products"),
        (("silver.orders",), "silver.orders is not a bronze table"),
        (("bronze.orders", "--rule", "amount.rang"), "no open reject of bronze.orders is of rule amount.rang. Did you mean amount.range?"),
        (("bronze.orders", "--run", "nightly"), "no open reject of bronze.orders is of run nightly. There are run of 2"),
    ],
)
def test_what_no_reject_has_is_refused_with_what_there_is(desk, arguments, said):
    """A misspelt rule would replay nothing, silently."""
    refused = desk.sluice("rejects", "replay", *arguments)

    assert 2 == refused.exit_code
    assert said in refused.stderr


def test_a_replay_is_refused_while_a_batch_is_pending(desk):
    """Before anything is started, in plan's own words."""
    desk.world.tables.bad = is_bad
    window = {"lo": START, "hi": START, "ingest_time": START, "run": "run-1", "fence": 1, "outcome": None}
    seq = desk.world.state._progress["bronze.orders"].seq + 1
    waiting = Batch(batch_id=f"bronze.orders-{seq:010d}", seq=seq, **window)
    desk.world.state._pending["bronze.orders"][waiting.batch_id] = waiting

    for more in ((), ("--dry-run",)):
        refused = desk.sluice("rejects", "replay", "bronze.orders", *more)
        assert 1 == refused.exit_code
        assert (
            f"RequestRefused: bronze.orders: {waiting.batch_id} must be certified before rejects are replayed: `sluice run` first" in refused.stderr
        )
