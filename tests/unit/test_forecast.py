"""What the forecast says of the next run, against what that run then does."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from cli.plan import standing_of
from shared.core.choice import choose
from shared.core.errors import SourceUnavailable
from shared.core.files import Manifest
from shared.core.forecast import forecast
from shared.core.layout import evidence_key, gate_key, plan_key
from shared.core.messages import ChangeSetRef, IngestEvidence, Intent, TableEvidence
from shared.core.run_documents import GateDecision, Plan
from shared.core.standing import finished
from tests.machine import Machine, table
from tests.unit import test_history_protocol, test_protocol_kinds
from tests.unit.test_protocol import _effects_until, redefined, trade

MAX_WINDOWS = 3  # of the machine's jobs


def chosen(machine, *, tables=(), full_refresh=()):
    return choose(machine.lake, tables=tables, full_refresh=full_refresh)


def found(machine, **asked):
    """What state, logs and listings say now."""
    return standing_of(
        machine.lake,
        chosen(machine, **asked),
        state=machine.state,
        documents=machine.documents,
        delta_log=machine.tables,
        listing=machine.tables.objects,
    )


def foretold(machine, **asked):
    """By table."""
    return {row.table: row for row in forecast(machine.lake, chosen(machine, **asked), found(machine, **asked), max_windows=MAX_WINDOWS)}


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
    moves_silver = moves.union(after_ingest.todo)  # whoever reads a silver table in its own stage cannot wait for its outcome
    assert [row.table for row in derived if row.certain or (moves_silver if row.stage == "refine" else moves).intersection(row.triggers)] == list(
        todo
    )
    how = {fields["batch_id"]: name for name, fields in events if name in ("batch_reused", "batch_landed")}
    assert not [note for row in rows.values() for note in row.notes if "would stop here" in note]
    for row in rows.values():
        allowed = {"reuse": {"batch_reused"}, "read again": {"batch_landed"}, "reuse or read again": {"batch_reused", "batch_landed"}}
        assert all(how[batch.batch_id] in allowed[batch.how] for batch in row.batches)
        if row.action == "read":
            read = machine.documents.get(evidence_key(plan.run, "ingest", row.table), IngestEvidence).batches
            new = [batch for batch in read if batch.batch_id not in {waiting.batch_id for waiting in row.batches}]
            assert len(new) <= row.new_windows
            assert row.source != "windows" or not new or new[0].lo == row.reads_from
            if row.source == "files":
                lists = [machine.documents.get(batch.manifest, Manifest).objects for batch in new]
                assert (len(lists), sum(map(len, lists))) == (row.new_windows, row.new_objects)


def a_day_of_windows(machine, day, dice):
    """Trade; or one row alone that breaks its contract; or nothing."""
    what = dice.random()
    if what < 0.7:
        trade(machine, day)
    elif what < 0.85:
        t = machine.world.now
        machine.shop.rows.setdefault("orders", []).append((t, {"id": f"alone{day}", "amount": -1, "product": "p1", "at": t, "deleted": False}))
        machine.world.now = t + timedelta(seconds=5)


def a_day_of_files_and_snapshots(machine, day, dice):
    """Trade; or one file and one item alone, which break their contract; or an item that is gone, and nothing else; or nothing."""
    machine.tables.bad = lambda table, row: row.get("value", row.get("quantity", 0)) < 0
    machine.world.now += timedelta(seconds=1)
    stock, now, what = machine.shop.rows.setdefault("stock", []), machine.world.now, dice.random()
    if what < 0.6:
        test_protocol_kinds.trade(machine, day)
    elif what < 0.75:
        machine.shop.put("bronze.rates", f"{day}-bad.csv", [{"id": f"bad{day}", "value": -1, "at": now}], now)
        stock.append((now, {"id": f"bad{day}", "quantity": -1}))
    elif what < 0.9:
        stock.append((now, {"id": f"s{day - 1}", "quantity": 0, "deleted": True}))


def a_day_of_history(machine, day, dice):
    """Trade, or nothing."""
    if dice.random() < 0.7:
        test_history_protocol.trade(machine, day)


WORLDS = {
    "windows": (Machine, a_day_of_windows),
    "files and snapshots": (test_protocol_kinds.machine, a_day_of_files_and_snapshots),
    "history": (test_history_protocol.shop_machine, a_day_of_history),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("seed", range(30))
def test_a_run_does_what_was_foretold_of_it(seed, world):
    """After any history of limited, refreshing, killed and halted runs and of edits: the same tables, the same batches, for the same reasons."""
    dice = random.Random(seed)
    make, passes = WORLDS[world]
    machine = make()
    names = [t.name for t in machine.lake.tables]
    for day in range(1, 8):
        passes(machine, day, dice)
        if day == 7:  # a calm one
            machine.tables.bad = lambda table, row: False
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
        before = found(machine, **asked).certified.tables  # an unfinished intent taken as finished
        machine.tables.halting = {dice.choice(names)} if day < 7 and dice.random() < 0.2 else set()
        machine.world.faults = (
            {machine.world.effects + dice.randint(1, 140): dice.choice(["before", "after"])} if day < 7 and dice.random() < 0.5 else {}
        )

        status = machine.run(**asked)

        machine.world.faults = {}
        if status == "passed":
            assert_as_foretold(machine, rows, before, machine.log.events[told:])
    assert "passed" == status


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
    before = found(machine)

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
    assert not any(batch.moves for batch in rows["bronze.orders"].batches)
    assert ("bronze.orders",) == rows["silver.orders"].triggers


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
    assert "waits for bronze.orders, if that halts" in rows["silver.orders"].notes
    assert "waits for silver.orders, if that halts" in rows["gold.fact_sales"].notes
    assert "tied to gold.fact_sales by a relationship, if that halts" in rows["gold.dim_product"].notes
    assert () == rows["silver.products"].notes


def test_more_pending_batches_than_a_run_takes_are_told():
    """Nobody wonders why it has not caught up."""
    machine = Machine()
    machine.dies_with_job = True
    trade(machine, 8)
    machine.world.faults = {machine.world.effects + 40: "before"}
    machine.run()
    standing = found(machine)
    many = len(standing.pending["bronze.orders"])

    row = forecast(machine.lake, chosen(machine), standing, max_windows=1)[0]

    assert 1 < many
    assert (1, 0) == (len(row.batches), row.new_windows)
    assert (f"{many - 1} more pending batches wait for a later run: max_windows is 1",) == row.notes


def test_tables_that_are_not_as_state_says_are_told():
    """What would stop the run is said before it is started; what a dead run left is said to be taken back."""
    machine = Machine()
    trade(machine, 1)
    machine.run()
    standing = found(machine)
    lost = {"bronze.orders": None, "silver.orders": 9, "silver.products": 0, "gold.dim_product": 9}

    rows = forecast(machine.lake, chosen(machine), replace(standing, latest=dict(standing.latest) | lost), max_windows=MAX_WINDOWS)

    notes = {row.table: row.notes for row in rows}
    assert "there is no table: the run would stop here" in notes["bronze.orders"][0]
    assert "left version 9: it is first taken back to 1" in notes["silver.orders"][0]
    assert "its log ends at 0: the run would stop here" in notes["silver.products"][0]
    assert "something other than publish wrote it" in notes["gold.dim_product"][0]
    assert () == notes["gold.fact_sales"]


def test_of_files_it_is_known_what_is_new_and_that_nothing_is():
    """A listing tells, so where nothing is new nothing hangs on it."""
    machine = test_protocol_kinds.machine()
    test_protocol_kinds.trade(machine, 1)

    first = foretold(machine)["bronze.rates"]
    test_protocol_kinds.caught_up(machine)
    calm = foretold(machine)
    machine.shop.put("bronze.rates", "new.csv", [{"id": "SEK1", "value": 1, "at": machine.world.now}], machine.world.now)
    later = foretold(machine)

    assert (3, 2, None) == (first.new_objects, first.new_windows, first.reads_from)
    assert (0, 0, "nothing") == (calm["bronze.rates"].new_objects, calm["bronze.rates"].new_windows, calm["silver.rates"].action)
    assert (1, ("bronze.rates",)) == (later["bronze.rates"].new_objects, later["silver.rates"].triggers)


def test_files_beyond_what_a_run_takes_are_told():
    """Three batches of two objects; the seventh waits."""
    machine = test_protocol_kinds.machine()
    for number in range(7):
        machine.shop.put("bronze.rates", f"{number}.csv", [{"id": f"r{number}", "value": 1, "at": machine.world.now}], machine.world.now)

    row = foretold(machine)["bronze.rates"]

    assert (6, 3) == (row.new_objects, row.new_windows)
    assert ("1 more new objects wait for a later run: max_windows is 3",) == row.notes


def test_a_folder_that_cannot_be_listed_is_told_and_nothing_is_claimed_of_it():
    """The ingest job's role may see what this person may not."""
    machine = test_protocol_kinds.machine()
    test_protocol_kinds.trade(machine, 1)
    test_protocol_kinds.caught_up(machine)

    def refuse(table):
        raise SourceUnavailable("s3://rates could not be listed from here: AccessDenied")

    machine.tables.objects = refuse
    rows = foretold(machine)

    assert ("s3://rates could not be listed from here: AccessDenied",) == rows["bronze.rates"].notes
    assert (None, 3) == (rows["bronze.rates"].new_objects, rows["bronze.rates"].new_windows)
    assert ("bronze.rates",) == rows["silver.rates"].triggers


def test_a_halted_snapshot_is_read_again_and_no_other_is_foretold():
    """One a run, and none behind a halted one."""
    machine = test_protocol_kinds.second_day()
    one = foretold(machine)["bronze.stock"]
    machine.tables.bad = lambda table, row: table == "bronze.stock" and row["id"] != "always"
    assert "blocked" == machine.run()

    row = foretold(machine)["bronze.stock"]

    assert (1, 0) == (one.new_windows, row.new_windows)
    assert ["read again"] == [batch.how for batch in row.batches]


def test_a_batch_to_be_read_again_may_bring_rows_when_nothing_new_is_read():
    """As many windows wait as a run takes."""
    machine = test_protocol_kinds.second_day()
    machine.tables.bad = lambda table, row: table == "bronze.stock" and row["id"] != "always"
    assert "blocked" == machine.run()

    rows = {row.table: row for row in forecast(machine.lake, chosen(machine), found(machine), max_windows=1)}

    assert (1, 0) == (len(rows["bronze.stock"].batches), rows["bronze.stock"].new_windows)
    assert ("bronze.stock",) == rows["silver.stock"].triggers


def test_data_that_no_run_left_there_is_told():
    """The state was lost or taken back; a run stops before it writes beside it."""
    machine = Machine()
    trade(machine, 1)
    machine.run()
    machine.state._certified, machine.state._progress, machine.state._pending = Machine().state._certified, {}, {}
    machine.tables.tables["silver.orders"] = machine.tables.tables["silver.orders"][1:]

    notes = {name: row.notes for name, row in foretold(machine).items()}

    odd = ("it holds data that no run of this lake froze or created: the run would stop here",)
    assert odd == notes["bronze.orders"] == notes["bronze.products"] == notes["silver.orders"]
    assert ("a run that did not commit left version 1: it is first taken back to 0",) == notes["silver.products"]
    assert "something other than publish wrote it" in notes["gold.dim_product"][0]
    assert "failed" == machine.run()


def test_a_source_that_is_read_in_another_way_now_is_told_before_its_run_halts():
    """Nobody can tell which rows are left."""
    machine = test_protocol_kinds.second_day()
    files, *others = machine.lake.tables
    machine.lake = replace(machine.lake, tables=(table(files.name, "append"), *others))

    rows = foretold(machine)

    assert "bronze.rates was read from files until" in rows["bronze.rates"].notes[0]
    assert (0, ()) == (rows["bronze.rates"].new_windows, rows["bronze.rates"].batches)
    assert "waits for bronze.rates" in rows["silver.rates"].notes[0]
    assert () == rows["silver.stock"].notes
    assert "blocked" == machine.run()


def test_an_intent_that_only_reshapes_a_table_gives_it_one_version_more():
    """Columns that a contract gained come in a commit without rows."""
    machine = Machine()
    trade(machine, 1)
    machine.run()
    certified = machine.state._certified
    refs = [
        ChangeSetRef(table="gold.dim_product", path="p", digest="d", base_version=2, upserts=0, deletes=0, reshapes=True),
        ChangeSetRef(table="gold.fact_sales", path="p", digest="d", base_version=2, upserts=1, deletes=1),
    ]
    intent = Intent(run="run-2", fence=2, change_sets=tuple(refs), entries=certified.tables, progress={}, blocked={})

    after = finished(intent).tables

    assert (3, 4) == (after["gold.dim_product"].version, after["gold.fact_sales"].version)
    assert 3 == after["gold.fact_sales"].consumed["gold.dim_product"]
