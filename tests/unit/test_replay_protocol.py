"""Rejects injected again, by the steps that ship over fakes: killed at every effect, each open reject ends in one lane of one batch, once."""

import copy
import json
import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.batches import reusable
from shared.core.errors import SluiceError
from shared.core.messages import Replay
from tests.fakes import open_rejects
from tests.machine import Machine, is_bad
from tests.unit.test_forecast import foretold
from tests.unit.test_protocol import assert_whole, run_until_caught_up, trade

ALL = Replay(table="bronze.orders", rules=(), runs=())


def mend(machine: Machine) -> None:
    """The contract is mended: what it rejected so far now holds. The hash says so."""
    machine.tables.bad = lambda table, row: False
    machine.lake = recontracted(machine.lake, "mended")


def spoil(machine: Machine) -> None:
    machine.tables.bad = is_bad
    machine.lake = recontracted(machine.lake, "strict")


def recontracted(lake, contract):
    return replace(lake, tables=tuple(replace(t, contract_hash=contract) if t.name == "bronze.orders" else t for t in lake.tables))


def assert_accounted(machine: Machine) -> None:
    """The conservation law, counted from the certified batches themselves and held against what the state counted."""
    batches = machine.certified_batches("bronze.orders")
    consumed = Counter(pointer for lanes in batches.values() for pointer in lanes.pointers)
    rejects = {f"{batch}/{number}" for batch, lanes in batches.items() for number, _ in enumerate(lanes["rejected"])}
    assert set(consumed.values()) <= {1}, "a reject was injected twice"
    assert set(consumed) <= rejects, "a replay consumed what was never rejected"
    for batch, lanes in batches.items():
        assert all(pointer.split("/")[0] < batch for pointer in lanes.pointers)
        if lanes.pointers:
            assert len(lanes.pointers) == sum(len(rows) for rows in lanes.values())
    accepted = [str(row) for lanes in batches.values() for row in lanes["accepted"]]
    assert len(accepted) == len(set(accepted)), "a row was accepted twice"
    totals = machine.state._progress["bronze.orders"].totals
    assert totals.holds
    assert totals.open == len(open_rejects(batches))
    assert totals.replayed == len(consumed)
    assert totals.accepted == len(accepted)


def assert_as_if_never_bad(machine: Machine) -> None:
    """Silver and gold hold what a lake holds whose contract never rejected a row."""
    orders = {row["id"]: row for row in machine.shop.visible("orders", machine.world.now)}
    assert orders == machine.content("silver.orders")
    assert {} == open_rejects(machine.certified_batches("bronze.orders"))
    assert set(orders) == set(machine.latest("gold.fact_sales")) == set(machine.content("gold.fact_sales"))


def rejected_twice() -> Machine:
    """Two days of trade, each with a bad row in the rejects, then the contract is mended."""
    machine = Machine()
    for day in (1, 2):
        trade(machine, day)
        run_until_caught_up(machine)
    mend(machine)
    return machine


def test_a_replay_after_mending_leaves_the_lake_as_if_it_never_had_the_faults():
    """Every rejected row reaches silver and gold, and the position does not move by it."""
    machine = rejected_twice()
    before = machine.state._progress["bronze.orders"]

    status = machine.run(ALL)

    assert "passed" == status
    assert_as_if_never_bad(machine)
    assert_accounted(machine)
    after = machine.state._progress["bronze.orders"]
    assert 2 == after.totals.replayed == after.totals.accepted - before.totals.accepted
    assert after.position >= before.position


def test_a_replay_again_finds_nothing_left():
    """A row cannot be injected twice; a replay of nothing is a batch without a commit."""
    machine = rejected_twice()
    machine.run(ALL)
    versions = len(machine.tables.tables["bronze.orders"])

    status = machine.run(ALL)

    assert "passed" == status
    assert versions == len(machine.tables.tables["bronze.orders"])
    assert_accounted(machine)


def test_rows_that_are_still_bad_are_rejected_again_and_block_nothing():
    """They were rejected before: the tolerance for a window's rejects is not theirs. They stay open and point back."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    t = machine.world.now
    good = [(t, {"id": f"g{n}", "amount": 1, "product": "p1", "at": t, "deleted": False}) for n in range(9)]
    bad = [(t, {"id": f"bad{n}", "amount": -1, "product": "p1", "at": t, "deleted": False}) for n in range(20, 27)]
    machine.shop.rows["orders"] += good + bad
    machine.world.now += timedelta(seconds=5)
    run_until_caught_up(machine)

    status = machine.run(ALL)

    assert "passed" == status
    assert 8 == len(open_rejects(machine.certified_batches("bronze.orders")))
    assert 8 == machine.state._progress["bronze.orders"].totals.replayed
    assert_accounted(machine)
    mend(machine)
    assert "passed" == machine.run(ALL)
    assert_as_if_never_bad(machine)
    assert_accounted(machine)


def test_a_replay_is_refused_while_a_batch_is_pending_and_says_which():
    """What was seen by a halted batch may change: rejects wait until it is certified."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    t = machine.world.now
    flood = [(t, {"id": f"bad{n}", "amount": -1, "product": "p1", "at": t, "deleted": False}) for n in range(10, 19)]
    machine.shop.rows["orders"] += flood
    machine.world.now += timedelta(seconds=5)
    assert "blocked" == machine.run()
    pending = machine.state._pending["bronze.orders"]

    status = machine.run(ALL)

    assert "failed" == status
    said = machine.notify.alerts[-1]["text"]
    waiting = max(pending)
    assert f"RequestRefused: bronze.orders: {waiting} must be certified before" in said
    assert "`sluice run` first" in said
    assert pending == machine.state._pending["bronze.orders"]
    assert machine.state._lock.run is None
    mend(machine)
    assert "passed" == machine.run()
    assert "passed" == machine.run(ALL)
    assert_as_if_never_bad(machine)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("silver.orders", "silver.orders has no rejects: it is not a bronze table. There are bronze.orders, bronze.products"),
        ("bronze.order", "'bronze.order' is not a table of this lake. Did you mean 'bronze.orders'?"),
        ("bronze.products", "no batch of it is certified yet; `sluice run` reads its first"),
    ],
)
def test_a_replay_of_what_has_no_rejects_is_refused(table, said):
    """Before anything is frozen."""
    machine = Machine()

    status = machine.run(Replay(table=table, rules=(), runs=()))

    assert "failed" == status
    assert said in machine.notify.alerts[-1]["text"]
    assert {} == machine.state._pending


def test_a_row_that_stands_accepted_already_counts_as_seen_and_its_reject_is_closed():
    """A contract may be mended before the lookback shows the row again: it is accepted there, and the replay does not double it."""
    machine = rejected_twice()
    pointer, row = next(iter(open_rejects(machine.certified_batches("bronze.orders")).items()))
    machine.latest("bronze.orders")[pointer.split("/")[0]]["accepted"].append(row)

    status = machine.run(ALL)

    assert "passed" == status
    replayed = next(lanes for lanes in machine.certified_batches("bronze.orders").values() if lanes.pointers)
    assert [row] == replayed["seen"]
    assert {} == open_rejects(machine.certified_batches("bronze.orders"))


def effects_of_a_replay(prepared: Machine) -> int:
    machine = copy.deepcopy(prepared)
    before = machine.world.effects
    machine.run(ALL)
    return machine.world.effects - before


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_effect_of_a_replay_every_reject_is_injected_once(moment):
    """The selector is in the frozen batch: the next run reads it again. Before it was frozen nothing was asked for, and it is asked again."""
    prepared = rejected_twice()
    trade(prepared, 3)
    for step in range(1, effects_of_a_replay(prepared) + 1):
        machine = copy.deepcopy(prepared)
        machine.dies_with_job = step % 2 == 0
        machine.world.faults = {machine.world.effects + step: moment}

        first = machine.run(ALL)
        machine.world.faults = {}
        assert first in ("passed", "failed", "dead"), (step, first)
        trade(machine, 4)
        assert "passed" == machine.run()
        assert_accounted(machine)
        assert "passed" == machine.run(ALL)

        assert_as_if_never_bad(machine)
        assert_accounted(machine)
        assert 2 == machine.state._progress["bronze.orders"].totals.replayed


@pytest.mark.parametrize("seed", range(30))
def test_any_few_kills_over_days_of_trade_mends_and_replays_lose_and_double_nothing(seed):
    """Replays of rows still bad, contracts spoilt again, kills in replays and in the runs that finish them."""
    dice = random.Random(seed)
    machine = Machine()
    trade(machine, 1)
    machine.run()
    for day in (2, 3, 4, 5):
        trade(machine, day)
        dice.choice([mend, spoil, lambda _: None])(machine)
        machine.dies_with_job = dice.random() < 0.5
        machine.world.faults = {machine.world.effects + dice.randint(1, 190): dice.choice(["before", "after"]) for _ in range(2)}
        machine.run(ALL if dice.random() < 0.7 else None)
        machine.world.faults = {}
        if machine.state._progress.get("bronze.orders") is not None:
            assert_accounted(machine)
    spoil(machine)
    run_until_caught_up(machine)
    assert "passed" == machine.run(ALL)
    assert_accounted(machine)
    mend(machine)
    assert "passed" == machine.run(ALL)

    assert_as_if_never_bad(machine)
    assert_accounted(machine)
    spoil(machine)
    trade(machine, 6)
    run_until_caught_up(machine)
    assert_accounted(machine)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["trade", "run", "replay", "mend", "spoil", "halt", "die"]), max_size=14), st.integers(0, 10**6))
def test_the_account_holds_after_every_step_of_any_history(steps, seed):
    """read = accepted + open + copies + seen, whatever is traded, mended, spoilt, halted, killed and replayed in whatever order."""
    dice, machine, day = random.Random(seed), Machine(), 0
    for step in steps:
        if step == "trade":
            day += 1
            trade(machine, day)
        elif step == "halt":
            machine.tables.halting = set() if machine.tables.halting else {"silver.orders"}
        elif step in ("mend", "spoil"):
            {"mend": mend, "spoil": spoil}[step](machine)
        else:
            machine.world.faults = {machine.world.effects + dice.randint(1, 150): dice.choice(["before", "after"])} if step == "die" else {}
            machine.run(ALL if step == "replay" or (step == "die" and dice.random() < 0.5) else None)
            machine.world.faults = {}
        if machine.state._progress.get("bronze.orders") is not None:
            assert_accounted(machine)


def test_the_undisturbed_lake_is_whole_beside_a_replay_of_rows_still_bad():
    """A replay changes nothing that is certified."""
    machine = Machine()
    for day in (1, 2, 3):
        trade(machine, day)
        machine.run(None if day == 1 else ALL)
        run_until_caught_up(machine)
        assert_whole(machine)


def test_a_job_that_is_started_again_in_its_run_freezes_the_replay_once():
    """Glue had no room, or the worker was lost: the second start finds the first one's batch pending."""
    machine = rejected_twice()
    fence = machine.plan("run-9", ALL, tables=("bronze.orders",)).fence
    first = copy.deepcopy(machine)
    first._glue("run-9", fence, "ingest", "main")
    frozen = first.world.trace.index("FakeState.freeze", machine.world.effects) + 1
    machine.world.faults = {frozen: "after"}

    with pytest.raises(SluiceError, match="was killed"):
        machine._glue("run-9", fence, "ingest", "main")
    machine._glue("run-9", fence, "ingest", "main")

    replays = [batch for batch in machine.state.pending("bronze.orders") if batch.replay is not None]
    assert 1 == len(replays)
    assert 2 == len(machine.latest("bronze.orders")[replays[0].batch_id]["accepted"])


def test_a_replay_that_a_dead_run_froze_is_foretold_and_finished_by_the_next():
    """It need not be asked for again."""
    machine = rejected_twice()
    first = copy.deepcopy(machine)
    first.run(ALL, tables=("bronze.orders",))
    machine.world.faults = {first.world.trace.index("FakeState.freeze", machine.world.effects) + 1: "after"}
    machine.run(ALL, tables=("bronze.orders",))
    machine.world.faults = {}

    batch = foretold(machine)["bronze.orders"].batches[0]

    assert ("read again", True) == (batch.how, batch.why.startswith(f"a replay of rejects: run run-{machine.number} froze it"))
    assert "passed" == machine.run()
    assert_as_if_never_bad(machine)


def test_a_commit_of_another_selection_does_not_stand_for_a_replay():
    """It would be believed by nobody: the gate compares what was selected with what was frozen."""
    machine = rejected_twice()
    machine.run(ALL)
    orders = machine.lake.table("bronze.orders")
    commit = next(
        version.commit for version in machine.tables.tables["bronze.orders"] if version.commit.meta.batch and version.commit.meta.batch.replay
    )
    batch = next(batch for batch in machine.state.pending("bronze.orders") if batch.batch_id == commit.meta.batch.batch_id)

    assert reusable(orders, batch, commit, newest_below=0)
    assert not reusable(orders, replace(batch, replay=None), commit, newest_below=0)
    assert not reusable(orders, replace(batch, replay=replace(ALL, rules=("amount.range",))), commit, newest_below=0)


SELECTOR = {"table": "bronze.orders", "rules": [], "runs": []}
UNBELIEVABLE = {
    "of no replay": (0, lambda batch: {"replay": None}),
    "without saying whether it is a replay": (0, lambda batch: {"replay": ...}),
    "of another selection": (0, lambda batch: {"replay": SELECTOR | {"rules": ["amount.range"]}}),
    "of another table's rejects": (0, lambda batch: {"replay": SELECTOR | {"table": "bronze.products"}}),
    "of seen rows that were not written": (0, lambda batch: {"counts": batch["counts"] | {"read": 3, "seen": 1}}),
    "of more copies than rejects": (0, lambda batch: {"reasons": {"exact_copy": 1}}),
    "of a window that calls itself a replay": (1, lambda batch: {"replay": SELECTOR}),
}


@pytest.mark.parametrize("name", UNBELIEVABLE)
def test_evidence_that_is_not_that_of_the_frozen_replay_halts_its_table(name):
    """Fail closed: what was selected is as much a part of a batch as its window."""
    position, change = UNBELIEVABLE[name]
    machine = rejected_twice()
    trade(machine, 3)
    glue, before = machine._glue, machine.content("silver.orders")
    key = f"_evidence/run-{machine.number + 1}/ingest/bronze.orders.json"

    def glue_then_tamper(run, fence, stage_name, group, target=None):
        glue(run, fence, stage_name, group, target)
        if stage_name == "ingest":
            document = json.loads(machine.documents._texts[key])
            batch = document["batches"][position]
            document["batches"][position] = {field: value for field, value in (batch | change(batch)).items() if value is not ...}
            machine.documents._texts[key] = json.dumps(document)

    machine._glue = glue_then_tamper
    status = machine.run(ALL)

    assert "blocked" == status
    assert "evidence: " in str(machine.log.events)
    assert before == machine.content("silver.orders")
    machine._glue = glue
    run_until_caught_up(machine)
    assert_as_if_never_bad(machine)
    assert_accounted(machine)


def test_evidence_of_a_replay_of_nothing_must_name_what_was_selected():
    """There is no commit to hold it against: only what was frozen tells."""
    machine = rejected_twice()
    machine.run(ALL)
    glue, key = machine._glue, f"_evidence/run-{machine.number + 1}/ingest/bronze.orders.json"

    def glue_then_tamper(run, fence, stage_name, group, target=None):
        glue(run, fence, stage_name, group, target)
        if stage_name == "ingest":
            document = json.loads(machine.documents._texts[key])
            assert document["batches"][0]["version"] is None
            document["batches"][0]["replay"] = SELECTOR | {"rules": ["amount.range"]}
            machine.documents._texts[key] = json.dumps(document)

    machine._glue = glue_then_tamper

    assert "blocked" == machine.run(ALL)
    assert "no frozen window is like it" in str(machine.log.events)
