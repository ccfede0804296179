"""Accounts over several runs: whatever a table lost or holds twice, its account does not balance."""

import pytest

from cli.accounts import accounts
from cli.outcome import outcome_of
from cli.run import looks
from tests.unit.cli_desk import FakeDesk


@pytest.fixture(scope="module")
def traded(tmp_path_factory):
    """Two runs with trade between them, one order of it rejected: the lake, what came of the runs, and what is stored."""
    desk = FakeDesk(tmp_path_factory.mktemp("desk"))
    outcomes = []
    for number, orders in enumerate([(("O1", 10), ("O2", -1)), (("O1", 11), ("O3", 5))]):
        desk.trade(*orders)
        lake = desk.open(None)
        desk.machine.looked = 0
        desk.machine.start(f"run-{number}")
        outcomes.append(outcome_of(lake, list(looks(lake, f"run-{number}", lambda: None))[-1]))
    told = {table.name: [found for outcome in outcomes for found in outcome.report.tables if found.table == table.name] for table in lake.lake.tables}
    columns = {"bronze": ("accepted", "rejected"), "silver": ("inserted",), "gold": ("inserted",)}
    stored = {name: sum(getattr(found, of) or 0 for found in reports for of in columns[name.partition(".")[0]]) for name, reports in told.items()}
    return lake.lake, outcomes, stored


def test_an_account_adds_all_runs_up(traded):
    """What was read in any run is accepted, rejected or seen, and is there."""
    lake, outcomes, stored = traded

    found = {account.table: account for account in accounts(lake, outcomes, stored.get)}

    assert [table.name for table in lake.tables] == list(found)
    assert all(account.balanced for account in found.values()), found
    assert "1 rejected" in found["bronze.orders"].equation
    assert {"passed"} == {outcome.status for outcome in outcomes}


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("table", ["bronze.orders", "silver.orders", "gold.fact_sales"])
def test_a_row_too_many_or_too_few_does_not_balance(traded, table, by):
    """In that table, and in no other."""
    lake, outcomes, stored = traded
    wrong = {**stored, table: stored[table] + by}

    assert {table} == {account.table for account in accounts(lake, outcomes, wrong.get) if not account.balanced}


def test_a_run_that_is_left_out_does_not_balance(traded):
    """Rows that no report speaks of came from somewhere."""
    lake, outcomes, stored = traded

    assert not all(account.balanced for account in accounts(lake, outcomes[1:], stored.get))
