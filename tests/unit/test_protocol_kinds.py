"""Files and snapshots under the run protocol: killed at every effect, each object lands once and each state of a row is known once."""

import copy
import json
import random
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core.layout import evidence_key
from shared.core.messages import IngestEvidence, Replay
from shared.spec.codec import from_json
from shared.spec.lake import Files, Lake, Snapshot, Source, Tolerance
from tests.fakes import START, open_rejects
from tests.machine import Machine, table

TOLERANCE = Tolerance(share=0.5, rows=1)
RATES = Source(relation="*.csv", watermark=None, reject_tolerance=TOLERANCE, servers=(), files=Files(pattern="*.csv", max_objects=2))
STOCK = Source(relation="stock", watermark=None, reject_tolerance=TOLERANCE, servers=(), snapshot=Snapshot(min_share=0.5, deleted="deleted", at="at"))


def machine() -> Machine:
    lake = Lake(
        tables=(
            table("bronze.rates", "append", source=RATES),
            table("bronze.stock", "append", source=STOCK),
            table("silver.rates", "merge", inputs=("bronze.rates",)),
            table("silver.stock", "merge", inputs=("bronze.stock",)),
        ),
        environments={},
    )
    return Machine(lake=lake)


def rate(currency: str, day: int, value: int) -> dict:
    return {"id": f"{currency}{day}", "value": value, "at": START + timedelta(days=day)}


def trade(machine: Machine, day: int) -> None:
    """Three files, one of them in the place of an older one; the store gains, changes and loses an item."""
    machine.world.now = max(machine.world.now + timedelta(seconds=1), START + timedelta(hours=day))
    now = machine.world.now
    machine.shop.put("bronze.rates", f"{day}-a.csv", [rate("EUR", day, day), rate("GBP", day, day)], now)
    machine.shop.put("bronze.rates", f"{day}-b.csv", [rate("JPY", day, day)], now)
    machine.shop.put("bronze.rates", "corrected.csv", [rate("CHF", 1, day)] + ([rate("CHF", 2, day)] if day > 1 else []), now)
    machine.shop.put("bronze.rates", "notes.txt", [rate("not", day, day)], now)
    stock = machine.shop.rows.setdefault("stock", [])
    stock.append((now, {"id": f"s{day}", "quantity": day}))
    stock.append((now, {"id": "always", "quantity": day // 2}))
    if day > 2:
        stock.append((now, {"id": f"s{day - 2}", "quantity": 0, "deleted": True}))


def stocked(machine: Machine) -> dict:
    return {row["id"]: row["quantity"] for row in machine.shop.visible("stock", machine.world.now) if not row.get("deleted")}


def assert_whole(machine: Machine) -> None:
    """Silver is what the files and the store hold now; no frozen object landed in two batches, no state of an item twice in a row."""
    held = {}
    for key, (_, rows) in sorted(machine.shop.files["bronze.rates"].items()):
        if key.endswith(".csv"):
            held |= {row["id"]: row for row in rows}
    found = machine.content("silver.rates")
    assert held.keys() == found.keys()
    assert {key: row["value"] for key, row in held.items() if not key.startswith("CHF")} == {
        key: row["value"] for key, row in found.items() if not key.startswith("CHF")
    }
    assert stocked(machine) == {key: row["quantity"] for key, row in machine.content("silver.stock").items()}
    batches = machine.certified_batches("bronze.stock")
    states: dict[str, list] = {}
    for _, lanes in sorted(batches.items()):
        for row in lanes["accepted"]:
            states.setdefault(row["id"], []).append((row["quantity"], row["deleted"]))
    assert all(a != b for known in states.values() for a, b in zip(known, known[1:], strict=False))
    landed = [str(row) for lanes in machine.certified_batches("bronze.rates").values() for row in lanes["accepted"]]
    assert len(landed) == len(set(landed))


def caught_up(machine: Machine) -> list[str]:
    machine.world.faults = {}
    return [machine.run() for _ in range(3)]


def test_three_days_of_files_and_snapshots_reach_silver():
    """Two objects a batch, three batches a run: what one run leaves, the next takes."""
    one = machine()

    for day in (1, 2, 3):
        trade(one, day)
        assert ["passed"] * 3 == caught_up(one)
        assert_whole(one)

    progress = one.state._progress["bronze.rates"]
    assert set(one.shop.files["bronze.rates"]) - {"notes.txt"} == set(json.loads(one.documents._texts[progress.manifest])["inventory"])


def test_a_run_with_nothing_new_freezes_no_files_and_writes_nothing():
    """One listing; the snapshot's rows are all seen."""
    one = machine()
    trade(one, 1)
    caught_up(one)
    versions, seq = {name: len(found) for name, found in one.tables.tables.items()}, one.state._progress["bronze.rates"].seq

    assert "passed" == one.run()

    assert versions == {name: len(found) for name, found in one.tables.tables.items()}
    assert seq == one.state._progress["bronze.rates"].seq


def test_a_snapshot_that_only_lacks_items_reaches_silver():
    """Deletions are rows that nobody read; what reads the table must see them all the same."""
    one = second_day()
    caught_up(one)
    one.world.now += timedelta(seconds=1)
    one.shop.rows["stock"].append((one.world.now, {"id": "s2", "quantity": 0, "deleted": True}))

    assert "passed" == one.run()

    assert "s2" not in one.content("silver.stock")
    assert_whole(one)


def test_a_source_of_files_without_files_is_a_table_without_rows():
    """The first batch ever is frozen even if it is empty, so that what reads the table has something to read."""
    one = machine()
    one.shop.rows["stock"] = []

    assert ["passed"] * 3 == caught_up(one)

    assert 1 == one.state._progress["bronze.rates"].seq
    assert {} == one.content("silver.rates")


def second_day() -> Machine:
    one = machine()
    trade(one, 1)
    caught_up(one)
    trade(one, 2)
    return one


def effects_of_second_day() -> int:
    one = second_day()
    before = one.world.effects
    one.run()
    return one.world.effects - before


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("execution_dies", [False, True])
def test_killed_at_any_effect_new_runs_leave_every_object_landed_once(moment, execution_dies):
    """Between listing, manifest, PENDING and commit too."""
    for step in range(1, effects_of_second_day() + 1):
        one = second_day()
        one.dies_with_job = execution_dies
        one.world.faults = {one.world.effects + step: moment}

        first = one.run()
        one.world.faults = {}
        trade(one, 3)
        caught_up(one)

        assert first in ("passed", "failed", "dead"), (step, first)
        assert_whole(one)


@pytest.mark.parametrize("seed", range(10))
def test_limited_and_refreshing_runs_leave_no_file_and_no_snapshot_behind(seed):
    """What a run leaves out keeps its inventory and its batches; whole runs catch up all of it."""
    dice, one = random.Random(seed), machine()
    names = [table.name for table in one.lake.tables]
    for day in range(1, 6):
        trade(one, day)
        one.dies_with_job = dice.random() < 0.5
        one.world.faults = {one.world.effects + dice.randint(1, 60): dice.choice(["before", "after"])} if dice.random() < 0.5 else {}
        one.run(tables=tuple(dice.sample(names, dice.choice([0, 1]))), full_refresh=tuple(dice.sample(names[2:], dice.choice([0, 1]))))
        one.world.faults = {}

    assert ["passed"] * 3 == [one.run() for _ in range(6)][-3:]

    assert_whole(one)


def test_an_object_that_arrives_or_changes_while_a_run_reads_waits_for_the_next():
    """The frozen list decides; a changed object is left out with a warning, and its new content is the next window's."""
    one = second_day()
    land = one.tables.land

    def land_late(table, batch, **given):
        if table.name == "bronze.rates" and "late.csv" not in one.shop.files["bronze.rates"]:
            one.shop.put("bronze.rates", "late.csv", [rate("NOK", 2, 1)], one.world.now)
            one.shop.put("bronze.rates", "2-a.csv", [rate("EUR", 2, 99)], one.world.now)
        return land(table, batch, **given)

    one.tables.land = land_late
    status = one.run()

    assert "passed" == status
    assert "NOK2" not in one.content("silver.rates")
    assert "EUR2" not in one.content("silver.rates")
    run = f"run-{one.number}"
    assert "warn" == one.state._runs[run].verdicts["ingest"]["bronze.rates"]
    evidence = from_json(IngestEvidence, json.loads(one.documents._texts[evidence_key(run, "ingest", "bronze.rates")]))
    assert ("2-a.csv changed",) == evidence.batches[0].warnings
    caught_up(one)
    assert 99 == one.content("silver.rates")["EUR2"]["value"]
    assert_whole(one)


def test_an_object_that_vanished_halts_its_table_until_it_is_back():
    """The batch stays pending; nothing else is lost, and the rest goes on."""
    one = second_day()
    land, aside = one.tables.land, {}

    def land_gone(table, batch, **given):
        if table.name == "bronze.rates" and not aside:
            aside["2-a.csv"] = one.shop.files["bronze.rates"].pop("2-a.csv")
        return land(table, batch, **given)

    one.tables.land = land_gone
    assert "blocked" == one.run()
    assert "blocked" == one.run()
    assert "s2" in one.content("silver.stock")

    one.shop.files["bronze.rates"] |= aside
    caught_up(one)

    assert_whole(one)


def test_a_snapshot_cut_short_halts_its_table_and_the_next_whole_one_mends_it():
    """No item is taken for deleted meanwhile."""
    one = machine()
    for day in (1, 2, 3, 4):
        trade(one, day)
    caught_up(one)
    before, rows = stocked(one), one.shop.rows["stock"]
    one.shop.rows["stock"] = rows[:1]
    one.world.now += timedelta(seconds=1)

    assert "blocked" == one.run()
    assert before == {key: row["quantity"] for key, row in one.content("silver.stock").items()}
    one.shop.rows["stock"] = rows
    trade(one, 5)
    caught_up(one)

    assert_whole(one)


def test_a_clock_that_jumps_back_at_the_source_is_a_warning_and_loses_nothing():
    """Snapshots stand at the source's time and must not go back in it; files are frozen by ours. What changed meanwhile is in the next one."""
    one = second_day()
    caught_up(one)
    seq, clock = one.state._progress["bronze.stock"].seq, one.tables.clock
    one.tables.clock = lambda table: replace(clock(table), now=clock(table).now - timedelta(days=1))
    trade(one, 3)

    assert ["passed"] * 3 == caught_up(one)

    verdicts = one.state._runs[f"run-{one.number}"].verdicts["ingest"]
    assert ("warn", "pass") == (verdicts["bronze.stock"], verdicts["bronze.rates"])
    assert seq == one.state._progress["bronze.stock"].seq
    decision = json.loads(one.documents._texts[f"_runs/run-{one.number}/gate-ingest.json"])
    (told,) = [finding["message"] for verdict in decision["verdicts"] for finding in verdict["findings"]]
    assert "its clock was set back. No snapshot is taken until it is past that" in told
    one.tables.clock = clock
    caught_up(one)
    assert_whole(one)


def test_a_halted_snapshot_is_read_again_and_no_other_is_frozen_behind_it():
    """Every one behind it would wait with it."""
    one = second_day()
    one.tables.bad = lambda table, row: table == "bronze.stock" and row["id"] != "always"

    assert ["blocked"] * 3 == [one.run() for _ in range(3)]

    waiting = [batch for batch in one.state.pending("bronze.stock") if batch.seq > one.state._progress["bronze.stock"].seq]
    assert 1 == len(waiting)
    one.tables.bad = lambda table, row: False
    caught_up(one)
    assert_whole(one)


TAMPERED = {
    "another manifest": lambda batch: batch | {"manifest": "_windows/bronze.rates/run-1/1/bronze.rates-0000000001.json"},
    "no manifest": lambda batch: batch | {"manifest": None},
    "deleted rows": lambda batch: batch | {"counts": batch["counts"] | {"deleted": 1}},
    "rows that only a snapshot has": lambda batch: (
        batch | {"counts": batch["counts"] | {"deleted": 1, "accepted": batch["counts"]["accepted"] - 1, "read": batch["counts"]["read"] - 1}}
    ),
}


@pytest.mark.parametrize("change", TAMPERED.values(), ids=TAMPERED)
def test_evidence_of_files_that_cannot_be_believed_halts_its_table(change):
    """What was read must be what was frozen, and what is counted must be in the log."""
    assert_halts("bronze.rates", change)


@pytest.mark.parametrize("deleted", [-1, 0, 9])
def test_evidence_of_a_snapshot_must_count_the_deletions_that_the_log_has(deleted):
    """They are written rows that nobody read."""
    assert_halts("bronze.stock", lambda batch: batch | {"counts": batch["counts"] | {"deleted": deleted}})


def assert_halts(name, change):
    one = second_day()
    trade(one, 3)
    glue, key = one._glue, evidence_key(f"run-{one.number + 1}", "ingest", name)

    def glue_then_tamper(run, fence, stage_name, group, target=None):
        glue(run, fence, stage_name, group, target)
        if stage_name == "ingest":
            document = json.loads(one.documents._texts[key])
            one.documents._texts[key] = json.dumps(document | {"batches": [change(document["batches"][0]), *document["batches"][1:]]})

    one._glue = glue_then_tamper

    assert "blocked" == one.run()
    assert "halt" == one.state._runs[f"run-{one.number}"].verdicts["ingest"][name]
    one._glue = glue
    caught_up(one)
    assert_whole(one)


def test_a_table_that_turns_to_files_takes_them_all():
    """It has a position and no inventory: nothing is known of any object."""
    one = machine()
    trade(one, 1)
    windows = table("bronze.rates", "append")
    files = one.lake.tables[0]
    one.lake = replace(one.lake, tables=(windows, *one.lake.tables[1:]))
    caught_up(one)
    one.lake = replace(one.lake, tables=(files, *one.lake.tables[1:]))

    caught_up(one)

    assert_whole(one)


def test_a_snapshot_that_only_lost_items_reaches_silver():
    """Rows that nobody read are a change like any other."""
    one = machine()
    for day in (1, 2, 3):
        trade(one, day)
        caught_up(one)
    one.world.now += timedelta(seconds=1)
    one.shop.rows["stock"].append((one.world.now, {"id": "s3", "quantity": 0, "deleted": True}))

    assert "passed" == one.run()

    assert "s3" not in one.content("silver.stock")
    assert_whole(one)


FILES_AGAIN = Replay(table="bronze.rates", rules=(), runs=())


def refusing_pounds() -> Machine:
    """Two days, on each of which the contract refuses one row of a file."""
    one = machine()
    one.tables.bad = lambda table, row: table == "bronze.rates" and row["id"].startswith("GBP")
    for day in (1, 2):
        trade(one, day)
        assert ["passed"] * 3 == caught_up(one)
    return one


def test_rejects_of_files_are_replayed_and_the_inventory_stays():
    """A replay stands between two lists of objects and is none: nothing is read again, nothing is left out."""
    one = refusing_pounds()
    before = one.state._progress["bronze.rates"]

    assert "passed" == one.run(FILES_AGAIN)
    assert {"GBP1", "GBP2"} == {row["id"] for row in open_rejects(one.certified_batches("bronze.rates")).values()}
    after = one.state._progress["bronze.rates"]
    assert (before.position, before.manifest, before.seq + 1) == (after.position, after.manifest, after.seq)

    one.tables.bad = lambda table, row: False
    trade(one, 3)
    assert "passed" == one.run(FILES_AGAIN)
    caught_up(one)

    assert {} == open_rejects(one.certified_batches("bronze.rates"))
    assert one.state._progress["bronze.rates"].totals.holds
    assert_whole(one)


def test_a_replay_of_files_killed_at_any_effect_loses_and_doubles_nothing():
    """Between the replay and the objects behind it too."""
    prepared = refusing_pounds()
    prepared.tables.bad = lambda table, row: False
    trade(prepared, 3)
    undisturbed = copy.deepcopy(prepared)
    undisturbed.run(FILES_AGAIN)
    for step in range(1, undisturbed.world.effects - prepared.world.effects + 1):
        one = copy.deepcopy(prepared)
        one.world.faults = {one.world.effects + step: "after" if step % 2 else "before"}

        one.run(FILES_AGAIN)
        caught_up(one)
        assert "passed" == one.run(FILES_AGAIN), step

        assert {} == open_rejects(one.certified_batches("bronze.rates"))
        assert 2 == one.state._progress["bronze.rates"].totals.replayed
        assert_whole(one)


def test_rejects_of_a_snapshot_come_by_themselves_and_their_replay_is_refused():
    """An old state injected now would stand for the item until the next snapshot, also for one that is gone."""
    one = machine()
    one.tables.bad = lambda table, row: table == "bronze.stock" and row["id"] == "s1"
    trade(one, 1)
    caught_up(one)
    assert "s1" not in one.content("silver.stock")

    assert "failed" == one.run(Replay(table="bronze.stock", rules=(), runs=()))

    assert "bronze.stock is read by snapshots: every run reads its rejected rows again" in one.notify.alerts[-1]["text"]
    one.tables.bad = lambda table, row: False
    caught_up(one)
    assert_whole(one)
