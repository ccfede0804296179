"""What a run and the lake's state say in numbers: through the steps that ship, on the fakes of the protocol."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from shared.core.errors import BadState
from shared.core.events import ReportRequest
from shared.core.measuring import lag_seconds, run_ages, schedule_age
from shared.core.messages import Entry, Lock, Progress, RunRecord
from shared.core.steps.report import report
from shared.core.steps.watch import watch
from shared.spec.environment import Environment, Schedule, Secrets, Workers
from shared.spec.lake import Lake
from tests.fakes import START
from tests.machine import Machine, rule, small_lake

SCHEDULE = Schedule(expression="cron(0 4 * * ? *)", time_zone="UTC", enabled=True)
AT = datetime(2026, 11, 23, 12, tzinfo=UTC)


def environment(**changes):
    base = Environment(
        name="test",
        account="123456789012",
        region="us-east-1",
        keeps_data=False,
        max_windows=3,
        log_retention_days=7,
        workers=Workers(type="G.1X", count=2, timeout_minutes=60),
        schedule=SCHEDULE,
        secrets=Secrets(mask_key="m", servers={}),
    )
    return dataclasses.replace(base, **changes)


def trade(machine, day=1):
    at = machine.world.now = START + timedelta(seconds=20 * day)
    machine.shop.rows.setdefault("products", []).append((at, {"id": f"p{day}", "title": "thing", "at": at, "deleted": False}))
    for id, amount in ((f"o{day}", day), (f"bad{day}", -1)):
        machine.shop.rows.setdefault("orders", []).append((at, {"id": id, "amount": amount, "product": f"p{day}", "at": at, "deleted": False}))
    machine.world.now = at + timedelta(seconds=10)


def measures(machine):
    """(table or stage, name) -> value, the last one told."""
    return {(of, name): value for of, name, value in machine.log.measures}


class Timer:
    """ports.Timer that a test sets."""

    def __init__(self, changed=None):
        self.changed = changed

    def changed_at(self):
        if self.changed is None:
            raise BadState("the schedule does not exist")
        return self.changed


def watched(machine, *, timer=None, clock=None, **changes):
    machine.log.measures.clear()
    timer = timer or Timer(START)
    watch(
        lake=machine.lake, environment=environment(**changes), state=machine.state, timer=timer, log=machine.log, clock=clock or machine.world.clock
    )
    return measures(machine)


def test_a_run_counts_what_its_gates_saw():
    """Rows read and rejected of a source, rows changed of a table; a table without rejects has no number for them."""
    machine = Machine()
    trade(machine)

    status = machine.run()

    told = measures(machine)
    assert "passed" == status
    assert (2, 1) == (told["bronze.orders", "records_processed_total"], told["bronze.orders", "records_rejected_total"])
    assert 1 == told["silver.orders", "records_processed_total"]
    assert ("silver.orders", "records_rejected_total") not in told
    assert {0} == {value for (_, name), value in told.items() if name in ("dq_critical_failures", "dq_warnings", "table_blocked")}
    assert {table.name for table in machine.lake.tables} == {of for of, name in told if name == "table_blocked"}


def test_a_halted_table_is_a_critical_failure_and_what_waits_for_it_is_blocked():
    """Two owners hear two things: whose rule broke, and whose table waits."""
    machine = Machine()
    trade(machine)
    machine.tables.halting = {"silver.orders"}

    machine.run()

    told = measures(machine)
    assert {"silver.orders"} == {of for (of, name), value in told.items() if name == "dq_critical_failures" and value}
    assert {"silver.orders", "gold.dim_product", "gold.fact_sales"} == {of for (of, name), value in told.items() if name == "table_blocked" and value}


def test_evidence_that_cannot_be_believed_has_no_row_counts():
    """A zero would look like a table without news."""
    machine = Machine()
    trade(machine)
    whole = machine.documents.get
    machine.documents.get = lambda key, kind: whole(key.replace("ingest/bronze.orders", "ingest/nothing"), kind)

    machine.run()

    told = measures(machine)
    assert 1 == told["bronze.orders", "dq_critical_failures"]
    assert ("bronze.orders", "records_processed_total") not in told


def test_the_last_gate_says_how_long_gates_were_waited_for():
    """From plan's own time."""
    machine = Machine()
    trade(machine)

    machine.run()

    waits = [value for of, name, value in machine.log.measures if name == "gate_wait_seconds"]
    assert 1 == len(waits)
    assert 0 < waits[0] < 60


def test_a_report_tells_the_latency_of_the_stages_that_were_reached():
    """A stage that never began has none."""
    machine = Machine()
    trade(machine)
    machine.run()
    timing = {"start": "2026-01-01T00:00:00.000000Z", "end": "2026-01-01T00:00:05.500000Z"}
    machine.state._runs["run-1"] = dataclasses.replace(machine.state._runs["run-1"], timings={"ingest": timing})

    report(
        ReportRequest(run="run-1"),
        pinned=machine.pinned,
        state=machine.state,
        documents=machine.documents,
        executions=machine.executions,
        log=machine.log,
        clock=machine.world.clock,
    )

    assert [("ingest", "latency_seconds", 5.5)] == [told for told in machine.log.measures if told[1] == "latency_seconds"]


# ---- watch


def fresh_lake():
    """The small lake, whose orders promise to be at most an hour old."""
    promise = dataclasses.replace(rule("at.freshness", kind="freshness", severity="warning"), kwargs={"column": "at", "max_age_seconds": 3600})
    lake = small_lake()
    return Lake(
        tables=tuple(
            dataclasses.replace(table, rules=(*table.rules, promise)) if table.name == "gold.fact_sales" else table for table in lake.tables
        ),
        environments=lake.environments,
    )


def test_ages_grow_while_nothing_runs():
    """Freshness and watermark lag are measured from now, not from the last run."""
    machine = Machine(lake=fresh_lake())
    machine.state._certified = dataclasses.replace(
        machine.state._certified, tables={"gold.fact_sales": Entry(version=1, definition_hash="d", consumed={}, newest=AT - timedelta(minutes=30))}
    )
    machine.state._progress["bronze.orders"] = Progress(position=AT - timedelta(minutes=5), seq=1)

    first, later = (watched(machine, clock=lambda hours=hours: AT + timedelta(hours=hours)) for hours in (0, 7))

    assert (1800, 1800 + 7 * 3600) == tuple(told["gold.fact_sales", "freshness_seconds"] for told in (first, later))
    assert (300, 300 + 7 * 3600) == tuple(told["bronze.orders", "watermark_lag_seconds"] for told in (first, later))


def test_what_was_never_certified_has_no_age():
    """Its silence rings."""
    told = watched(Machine(lake=fresh_lake()))

    assert not {name for _, name in told} & {"freshness_seconds", "watermark_lag_seconds"}


def test_a_certified_table_carries_the_newest_value_its_gate_counted():
    """Certified with the version, in the same transaction: what a halted run saw does not count."""
    machine = Machine(lake=fresh_lake())
    newest = START + timedelta(seconds=20)
    trade(machine)
    counting = machine.tables._rules
    machine.tables._rules = lambda table, elements: tuple(
        dataclasses.replace(result, observed="2026-01-01T00:00:20.000000Z") if result.rule == "at.freshness" else result
        for result in counting(table, elements)
    )

    status = machine.run()

    assert "passed" == status
    assert newest == machine.state.certified().tables["gold.fact_sales"].newest
    assert machine.state.certified().tables["silver.orders"].newest is None


@pytest.mark.parametrize(
    ("record", "waits"),
    [
        (None, 600),  # plan took the lock and was killed
        ({"timings": {}}, 540),
        ({"timings": {"stage": {"start": "x", "end": "x"}}}, 0),
        ({"status": "failed"}, 0),
    ],
)
def test_a_run_is_as_old_as_its_lock_and_waits_until_golds_gate_has_spoken(record, waits):
    """Also when its execution is dead: the lock it left is what keeps others out."""
    lock = Lock(run="r1", fence=1, since=AT - timedelta(minutes=10), lake_hash="h")
    base = RunRecord(
        run="r1", fence=1, status="running", started=AT - timedelta(minutes=9), ended=None, verdicts={}, counts={}, timings={}, problem=None
    )

    ages = run_ages(lock, None if record is None else dataclasses.replace(base, **record), AT)

    assert {"run_age_seconds": 600, "gate_wait_seconds": waits} == ages


def test_a_free_lake_says_so():
    """Zero is a value: the alarm must know silence from rest."""
    told = watched(Machine())

    assert (0, 0) == (told[None, "run_age_seconds"], told[None, "gate_wait_seconds"])


@pytest.mark.parametrize(
    ("last", "changed", "age"),
    [
        (None, AT - timedelta(hours=2), 7200),
        ("2026-11-23T11:00:00Z", AT - timedelta(days=9), 3600),
        ("2026-11-01T04:00:00Z", AT - timedelta(hours=2), 7200),
    ],
)
def test_a_schedule_is_as_old_as_its_last_strike_or_its_last_change(last, changed, age):
    """A schedule that was off for a month is not late the moment it is switched on."""
    assert {"schedule_age_seconds": age} == schedule_age(last, changed, AT)


@pytest.mark.parametrize("schedule", [None, dataclasses.replace(SCHEDULE, enabled=False)])
def test_a_lake_that_is_started_by_hand_has_no_schedule_to_be_late(schedule):
    """Nothing is said, and no alarm listens."""
    assert (None, "schedule_age_seconds") not in watched(Machine(), schedule=schedule)


def test_a_schedule_that_is_gone_silences_itself_and_nothing_else():
    """The other ages are told before the error."""
    machine = Machine(lake=fresh_lake())

    with pytest.raises(BadState):
        watched(machine, timer=Timer())

    assert {"run_age_seconds", "gate_wait_seconds"} <= {name for _, name in measures(machine)}


def test_a_position_that_is_a_number_has_no_lag():
    """And a date counts from its midnight."""
    assert (None, None) == (lag_seconds(7, AT), lag_seconds(None, AT))
    assert 12 * 3600 == lag_seconds(AT.date(), AT)
