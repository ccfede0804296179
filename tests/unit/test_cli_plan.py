"""`sluice plan`, and `sluice run` limited as it says."""

import copy

import pytest

from cli import run as run_module
from shared.core.messages import Lock
from tests.fakes import START
from tests.unit import test_protocol_kinds
from tests.unit.cli_desk import FakeDesk
from tests.unit.test_protocol import redefined


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "_LAPTOP_PAUSE_S", 0)
    return FakeDesk(tmp_path)


def line(told, table):
    return next(found for found in told.stdout.splitlines() if found.strip().startswith(table))


def actions(found):
    return {row["table"]: row["action"] for row in found["tables"]}


def test_of_a_lake_that_never_ran_all_is_built_and_read_from_the_start(desk):
    """The first thing a new user may ask."""
    told = desk.sluice("plan")

    assert 0 == told.exit_code, told.output
    assert "it was never read: up to 12 new windows from 2025-12-31 23:59:00" in line(told, "bronze.orders")
    assert "built" in line(told, "gold.fact_sales")


def test_looking_starts_nothing_and_takes_no_lock(desk):
    """A plan may be asked for at any time."""
    desk.sluice("plan")

    assert (0, {}, {}) == (desk.world.state._lock.fence, desk.machine.executions, desk.world.tables.tables)


def test_what_is_certain_and_what_hangs_on_new_rows_reads_differently(desk):
    """No source is asked."""
    desk.sluice("run")
    desk.world.lake = redefined(desk.world.lake, "gold.dim_product")

    told = desk.sluice("plan")

    assert "updated, perhaps" in line(told, "silver.orders")
    assert "only if bronze.orders brings rows" in line(told, "silver.orders")
    assert "rebuilt" in line(told, "gold.dim_product")
    assert "its definition changed since it was certified" in line(told, "gold.dim_product")
    assert "gold.dim_product is computed in this run" in line(told, "gold.fact_sales")


def test_a_limited_plan_leaves_the_others_out(desk):
    """The same words as `sluice run`'s."""
    found = desk.json("plan", "--table", "silver.orders", "--full-refresh", "silver.products")

    kinds = {name: action for name, action in actions(found).items() if action == "not planned"}
    assert {"gold.dim_product", "gold.fact_sales"} == set(kinds)
    assert "limited to silver.orders, silver.products and what that needs" == found["limited"]


def test_pending_batches_are_told_one_by_one(desk):
    """Which would be landed again, and which are there already."""
    desk.sluice("run")
    desk.trade(*((f"BAD{n}", -1) for n in range(9)))
    desk.sluice("run")

    told = desk.sluice("plan")

    assert "1 pending, then up to 11 new windows" in line(told, "bronze.orders")
    assert "read again" in told.stdout
    assert "a gate halted it, and the source may have been mended" in told.stdout
    assert "waits for bronze.orders, if that halts" in line(told, "silver.orders")


def test_who_holds_the_lake_is_told(desk):
    """A run started now would be refused."""
    desk.world.state._lock = Lock(run="nightly", fence=3, since=START, lake_hash="x")

    assert "held by run nightly since 2026-01-01 00:00:00 UTC" in desk.sluice("plan").stdout
    assert "nightly" == desk.json("plan")["held_by"]


def test_a_run_to_be_finished_first_is_told(desk):
    """Its gold may be half published."""
    desk.world.dies_with_job = True
    desk.world.world.faults = {desk.world.world.effects + _effects_until_commit(desk): "before"}
    assert "dead" == desk.world.run()
    desk.world.world.faults = {}

    assert "run run-1 is finished first" in desk.sluice("plan").stdout
    assert {"read", "update"} == set(actions(desk.json("plan")).values())


def _effects_until_commit(desk):
    twin = copy.deepcopy(desk.world)
    start = twin.world.effects
    twin.run()
    return twin.world.trace.index("FakeState.commit", start) - start + 1


def test_contracts_that_are_not_what_last_ran_are_told(desk):
    """A plan of contracts that are not deployed is not what a run would do."""
    desk.sluice("run")
    assert "lake.json" not in desk.sluice("plan").stdout

    desk.world.lake = redefined(desk.world.lake, "gold.dim_product")

    assert "`sluice local up` deploys it" in desk.sluice("plan").stdout


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("--table", "silver.order"), "Did you mean 'silver.orders'?"),
        (("--full-refresh", "gold.fact_sale"), "Did you mean 'gold.fact_sales'?"),
        (("--full-refresh", "bronze.orders"), "rebuild what reads it: silver.orders"),
    ],
)
def test_what_cannot_be_run_is_refused_before_it_starts(desk, command, asked, says):
    """By both, in the same words."""
    refused = desk.sluice(command, *asked)

    assert 2 == refused.exit_code
    assert f"sluice {command}: " in refused.stderr
    assert says in refused.stderr
    assert {} == desk.machine.executions


def test_a_limited_run_hands_its_limits_to_the_state_machine(desk):
    """And does what they say."""
    run = desk.json("run", "--table", "silver.products", "--full-refresh", "silver.orders")["run"]

    assert {"tables": ["silver.products"], "full_refresh": ["silver.orders"]} == desk.machine.asked
    outcomes = {table["table"]: table["outcome"] for table in desk.json("runs", "show", run)["tables"]}
    assert {"gold.dim_product", "gold.fact_sales"} == {name for name, outcome in outcomes.items() if outcome == "not planned"}


def test_a_run_of_all_tables_has_an_empty_input(desk):
    """As a schedule starts it."""
    desk.sluice("run")

    assert {} == desk.machine.asked


def test_files_and_snapshots_are_told_in_their_own_words(desk):
    """Neither has windows."""
    desk.world.lake = test_protocol_kinds.machine().lake
    for day in (1, 2):
        test_protocol_kinds.trade(desk.world, day)
    first = desk.sluice("plan")
    desk.world.tables.bad = lambda table, row: table == "bronze.stock" and row["id"] != "always"
    desk.sluice("run")
    desk.sluice("run")

    told = desk.sluice("plan")

    assert "it was never read: new objects: 5, in 3 new batches" in line(first, "bronze.rates")
    assert "it was never read: a snapshot" in line(first, "bronze.stock")
    assert "every run reads on: no new object" in line(told, "bronze.rates")
    assert "left as it is" in line(told, "silver.rates")
    assert "1 pending, then no new snapshot" in line(told, "bronze.stock")
    assert "frozen 2026-01-01 02:00" in told.stdout
