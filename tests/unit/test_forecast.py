"""What the forecast says of the next run, against what that run then does."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from cli.plan import standing_of
from shared.core.choice import choose
from shared.core.forecast import forecast
from shared.core.layout import evidence_key, gate_key, plan_key
from shared.core.messages import GateDecision, IngestEvidence, Plan, TableEvidence
from tests.machine import Machine
from tests.unit.test_protocol import _effects_until, redefined, trade

MAX_WINDOWS = 3  # of the machine's jobs


def foretold(machine, *, tables=(), full_refresh=()):
    """By table."""
    choice = choose(machine.lake, tables=tables, full_refresh=full_refresh)
    standing = standing_of(machine.lake, choice, state=machine.state, delta_log=machine.tables)
    return {row.table: row for row in forecast(machine.lake, choice, standing, max_windows=MAX_WINDOWS)}


def documents(machine):
    """The last run's plan and the decisions of its first two gates."""
    run = f"run-{machine.number}"
    gates = [machine.documents.get(gate_key(run, stage), GateDecision) for stage in ("ingest", "refine")]
    return machine.documents.get(plan_key(run), Plan), *gates


def moved(machine, before, after_ingest, todo):
    """The tables that really moved in the last run, each as its readers see it: sources with rows, silver with a new version, gold computed."""
    names = [name for name, entry in after_ingest.entries.items() if entry.consumed[name] > _content(before, name)]
    run = f"run-{machine.number}"
    for name in todo:
        if name.startswith("silver."):
            evidence = machine.documents.get(evidence_key(run, "refine", name), TableEvidence)
            if name not in before or evidence.version != before[name].version:
                names.append(name)
        else:
            names.append(name)
    return set(names)


def _content(entries, name):
    return entries[name].consumed[name] if name in entries else 0


def assert_as_foretold(machine, rows, before, events):
    """The very tables: planned, computed; the very batches: reused, read again."""
    plan, after_ingest, after_refine = documents(machine)
    assert [name for name, row in rows.items() if row.action != "not planned"] == [planned.table for planned in plan.tables]
    todo = (*after_ingest.todo, *after_refine.todo)
    moves = moved(machine, before, after_ingest, todo)
    derived = [row for row in rows.values() if row.action in ("build", "rebuild", "update")]
    assert [row.table for row in derived if row.certain or moves.intersection(row.triggers)] == list(todo)
    how = {fields["batch_id"]: name for name, fields in events if name in ("batch_reused", "batch_landed")}
    assert not [note for row in rows.values() for note in row.notes if "would stop here" in note]
    for row in rows.values():
        allowed = {"reuse": {"batch_reused"}, "read again": {"batch_landed"}, "reuse or read again": {"batch_reused", "batch_landed"}}
        assert all(how[batch.batch_id] in allowed[batch.how] for batch in row.batches)
        if row.action == "read":
            read = machine.documents.get(evidence_key(plan.run, "ingest", row.table), IngestEvidence).batches
            new = [batch for batch in read if batch.batch_id not in {waiting.batch_id for waiting in row.batches}]
            assert len(new) <= row.new_windows
            assert not new or new[0].lo == row.reads_from


@pytest.mark.parametrize("seed", range(40))
def test_a_run_does_what_was_foretold_of_it(seed):
    """After any history of limited, refreshing, killed and halted runs and of edits: the same tables, the same batches, for the same reasons."""
    dice = random.Random(seed)
    machine = Machine()
    names = [t.name for t in machine.lake.tables]
    for day in range(1, 8):
        if dice.random() < 0.8:
            trade(machine, day)
        if dice.random() < 0.2:
            machine.lake = redefined(machine.lake, dice.choice(names[2:]))
        if dice.random() < 0.15:
            machine.lake = with_another_contract(machine.lake, dice.choice(names[:2]), day)
        asked = {
            "tables": tuple(dice.sample(names, dice.choice([0, 0, 1]))),
            "full_refresh": tuple(dice.sample(names[2:], dice.choice([0, 0, 1]))),
        }
        machine.dies_with_job = dice.random() < 0.5
        rows, told = foretold(machine, **asked), len(machine.log.events)
        before = standing_of(
            machine.lake, choose(machine.lake, **asked), state=machine.state, delta_log=machine.tables
        ).certified.tables  # an unfinished intent taken as finished
        machine.tables.halting = {dice.choice(names)} if day < 7 and dice.random() < 0.2 else set()
        machine.world.faults = (
            {machine.world.effects + dice.randint(1, 140): dice.choice(["before", "after"])} if day < 7 and dice.random() < 0.5 else {}
        )

        status = machine.run(**asked)

        machine.world.faults = {}
        if status == "passed":
            assert_as_foretold(machine, rows, before, machine.log.events[told:])
    assert "passed" == status  # the last day is a calm one


def with_another_contract(lake, name, day):
    return replace(lake, tables=tuple(replace(t, contract_hash=f"contract {day}") if t.name == name else t for t in lake.tables))


def test_of_a_lake_that_never_ran_everything_is_built():
    """And the sources are read from where their contracts start."""
    rows = foretold(Machine())

    assert {"read", "build"} == {row.action for row in rows.values()}
    assert all(row.certain for row in rows.values())
    assert Machine().lake.table("bronze.orders").source.watermark.start_at == rows["bronze.orders"].reads_from


def test_of_a_lake_in_order_nothing_is_certain_but_the_reading():
    """What is done hangs on what the sources bring, and the forecast says on which."""
    machine = Machine()
    trade(machine, 1)
    machine.run()
    machine.run()

    rows = foretold(machine)

    assert {"bronze.orders", "bronze.products"} == {name for name, row in rows.items() if row.certain}
    assert ("bronze.orders",) == rows["silver.orders"].triggers
    assert "only if bronze.orders brings rows" == rows["silver.orders"].why
    assert ("gold.dim_product", "silver.orders") == rows["gold.fact_sales"].triggers


def test_what_a_limited_run_left_out_is_told_with_its_batches():
    """Bronze went on alone: what waits for the next whole run has a number."""
    machine = Machine()
    trade(machine, 1)
    machine.run()
    for day in (2, 3):
        trade(machine, day)
        machine.run(tables=("bronze.orders",))

    rows = foretold(machine)

    first = machine.state._certified.tables["silver.orders"].consumed["bronze.orders"] + 1
    last = machine.state._certified.tables["bronze.orders"].consumed["bronze.orders"]
    assert f"batches {first} to {last} of bronze.orders" == rows["silver.orders"].why
    assert rows["silver.orders"].certain
    assert not rows["silver.products"].certain


def test_a_redefined_table_and_a_refreshed_one_say_so():
    """Two reasons for the same work."""
    machine = Machine()
    trade(machine, 1)
    machine.run()
    machine.lake = redefined(machine.lake, "silver.orders")

    rows = foretold(machine, full_refresh=("silver.products",))

    assert ("rebuild", "its definition changed since it was certified") == (rows["silver.orders"].action, rows["silver.orders"].why)
    assert ("rebuild", "a full refresh was asked for") == (rows["silver.products"].action, rows["silver.products"].why)


@pytest.mark.parametrize("day", [1, 2, 3])
@pytest.mark.parametrize("killed_at", ["FakeState.put_intent", "delta.commit gold.dim_product", "FakeState.commit"])
def test_a_run_that_is_finished_first_is_taken_as_finished(day, killed_at):
    """Its gold may be published or not: what is left to do after it is foretold as if nothing had happened."""
    machine = Machine()
    for earlier in range(1, day):
        trade(machine, earlier)
        machine.run()
    trade(machine, day)
    machine.dies_with_job = True
    machine.world.faults = {machine.world.effects + _effects_until(machine, killed_at): "before" if killed_at == "FakeState.commit" else "after"}
    assert "dead" == machine.run()
    machine.world.faults = {}
    rows, told = foretold(machine), len(machine.log.events)
    choice = choose(machine.lake, tables=(), full_refresh=())
    before = standing_of(machine.lake, choice, state=machine.state, delta_log=machine.tables)

    assert "passed" == machine.run()

    assert f"run-{day}" == before.finishes_first
    assert {"read", "update"} == {row.action for row in rows.values()}
    now = machine.state._certified.tables
    assert all(now[name] == before.certified.tables[name] for name in ("gold.dim_product", "gold.fact_sales"))
    assert_as_foretold(machine, rows, before.certified.tables, machine.log.events[told:])


def test_silver_that_is_taken_back_moves_its_readers_for_certain():
    """A dead run left a newer version: the restored one is new too, whatever comes out of the computing."""
    machine = Machine()
    trade(machine, 1)
    machine.run()
    trade(machine, 2)
    machine.dies_with_job = True
    machine.world.faults = {machine.world.effects + _effects_until(machine, "delta.commit silver.orders"): "after"}
    assert "dead" == machine.run()
    machine.world.faults = {}

    rows = foretold(machine)

    assert rows["silver.orders"].notes[0].endswith("it is first taken back to 1")
    assert rows["silver.orders"].certain
    assert rows["gold.fact_sales"].certain
    assert "silver.orders is computed in this run" == rows["gold.fact_sales"].why
    assert not rows["gold.dim_product"].certain


def test_a_landed_batch_behind_one_that_is_read_again_may_be_read_again():
    """The rows that the lower one brings now may be among those it took for new."""
    machine = Machine()
    trade(machine, 1)
    machine.run()
    machine.run()
    t = machine.world.now
    later = t + timedelta(seconds=60)
    machine.shop.rows["orders"] += [(t, {"id": f"bad{n}", "amount": -1, "product": "p1", "at": t, "deleted": False}) for n in range(9)]
    machine.shop.rows["orders"].append((later, {"id": "behind", "amount": 1, "product": "p1", "at": later, "deleted": False}))
    machine.world.now = later + timedelta(seconds=5)
    assert "blocked" == machine.run()

    rows = foretold(machine)

    assert ["read again", "reuse or read again"] == [batch.how for batch in rows["bronze.orders"].batches]
    assert all(batch.moves for batch in rows["bronze.orders"].batches)
    assert rows["silver.orders"].certain


def test_a_halted_batch_is_told_with_what_waits_for_it():
    """It is read again, because someone may have mended the source."""
    machine = Machine()
    trade(machine, 1)
    machine.run()
    t = machine.world.now
    machine.shop.rows["orders"] += [(t, {"id": f"bad{n}", "amount": -1, "product": "p1", "at": t, "deleted": False}) for n in range(9)]
    trade(machine, 2)
    assert "blocked" == machine.run()

    rows = foretold(machine)

    (batch,) = [batch for batch in rows["bronze.orders"].batches if batch.why == "a gate halted it, and the source may have been mended"]
    assert "read again" == batch.how
    assert f"batch {batch.seq} was halted" in rows["bronze.orders"].notes[0]
    assert "waits for bronze.orders, if that halts again" in rows["silver.orders"].notes
    assert "waits for silver.orders, if that halts again" in rows["gold.fact_sales"].notes
    assert "tied to gold.fact_sales by a relationship, if that halts again" in rows["gold.dim_product"].notes
    assert () == rows["silver.products"].notes


def test_more_pending_batches_than_a_run_takes_are_told():
    """Nobody wonders why it has not caught up."""
    machine = Machine()
    choice = choose(machine.lake, tables=(), full_refresh=())
    machine.dies_with_job = True
    trade(machine, 8)
    machine.world.faults = {machine.world.effects + 40: "before"}
    machine.run()
    standing = standing_of(machine.lake, choice, state=machine.state, delta_log=machine.tables)
    many = len(standing.pending["bronze.orders"])

    row = forecast(machine.lake, choice, standing, max_windows=1)[0]

    assert 1 < many
    assert (1, 0) == (len(row.batches), row.new_windows)
    assert (f"{many - 1} more pending batches wait for a later run: max_windows is 1",) == row.notes


def test_tables_that_are_not_as_state_says_are_told():
    """What would stop the run is said before it is started; what a dead run left is said to be taken back."""
    machine = Machine()
    trade(machine, 1)
    machine.run()
    standing = standing_of(machine.lake, choose(machine.lake, tables=(), full_refresh=()), state=machine.state, delta_log=machine.tables)
    lost = {"bronze.orders": None, "silver.orders": 9, "silver.products": 0, "gold.dim_product": 9}

    rows = forecast(
        machine.lake,
        choose(machine.lake, tables=(), full_refresh=()),
        replace(standing, latest=dict(standing.latest) | lost),
        max_windows=MAX_WINDOWS,
    )

    notes = {row.table: row.notes for row in rows}
    assert "there is no table: the run would stop here" in notes["bronze.orders"][0]
    assert "left version 9: it is first taken back to 1" in notes["silver.orders"][0]
    assert "its log ends at 0: the run would stop here" in notes["silver.products"][0]
    assert "something other than publish wrote it" in notes["gold.dim_product"][0]
    assert () == notes["gold.fact_sales"]
