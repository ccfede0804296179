"""A lake with a log, a history and a fact joined as-of, run by the code that ships over a world of fakes and killed at every effect."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.spec.history import INVARIANTS
from shared.spec.lake import Lake, Relationship
from tests.fakes import START
from tests.histories import latest_states, replayed
from tests.machine import Machine, rule, table

TIE = Relationship(column="customer", to_table="gold.dim_customer", to_column="sk")
LOG = {"sequence": "at", "delete_when": "deleted"}
INVARIANT_RULES = tuple(rule(name, kind="history") for name in INVARIANTS)


def history_lake() -> Lake:
    """Every kind of load above bronze that has a past: a log, latest states and a history from it, a fact as-of."""
    return Lake(
        tables=(
            table("bronze.customers", "append"),
            table("bronze.orders", "append"),
            table("silver.orders", "merge", inputs=("bronze.orders",)),
            table("silver.customer_changes", "log", inputs=("bronze.customers",), origin="bronze.customers", **LOG),
            table("silver.customers", "merge", inputs=("silver.customer_changes",)),
            table("gold.dim_customer", "scd2", inputs=("silver.customer_changes",), origin="silver.customer_changes", rules=INVARIANT_RULES, **LOG),
            table("gold.fact_sales", "derive", inputs=("gold.dim_customer", "silver.orders"), relationships=(TIE,)),
        ),
        environments={},
    )


def is_delete(row):
    return row["deleted"]


def dim_customer(silver_customer_changes):
    """Versions by surrogate key: here the customer and when the version's event was."""
    found = replayed(list(silver_customer_changes.values()), natural=("id",), tracked=("tier",), latest=("email",), at="at", is_delete=is_delete)
    return {0: {"id": "unknown", "sk": 0}} | {(row["id"], row["opened"]): row | {"sk": (row["id"], row["opened"])} for row in found}


def fact_sales(gold_dim_customer, silver_orders):
    return {key: {"id": key, "customer": as_of(gold_dim_customer, row["customer"], row["ordered"])} for key, row in silver_orders.items()}


def as_of(dim, customer, time):
    found = [
        sk for sk, row in dim.items() if row["id"] == customer and row["valid_from"] <= time and (row["valid_to"] is None or time < row["valid_to"])
    ]
    assert len(found) < 2, "versions overlap"
    return found[0] if found else 0


def customers(silver_customer_changes):
    living = latest_states(list(silver_customer_changes.values()), key=("id",), at="at", is_delete=is_delete)
    return {row["id"]: row for row in living}


def shop_machine(**given) -> Machine:
    machine = Machine(lake=history_lake(), **given)
    machine.tables.bad = lambda table, row: False
    machine.tables.derivations = {"silver.customers": customers, "gold.dim_customer": dim_customer, "gold.fact_sales": fact_sales}
    machine.tables.affected = {}
    return machine


def trade(machine: Machine, day: int) -> None:
    """A day: somebody joins, moves, leaves and returns; a change commits late, before one already known; somebody orders, then and earlier."""
    t = START + timedelta(seconds=20 * day)
    put = machine.shop.rows.setdefault
    people, orders = put("customers", []), put("orders", [])

    def say(name, tier, at, *, deleted=False, email="a"):
        people.append((t, {"id": name, "tier": tier, "email": email, "at": at, "deleted": deleted}))

    def order(number, customer, ordered):
        orders.append((t, {"id": f"o{day}-{number}", "customer": customer, "ordered": ordered, "at": t, "deleted": False}))

    say(f"c{day}", "gold", t)
    if day > 1:
        say(f"c{day - 1}", "silver", t, email="b")
        say("mover", f"tier {day}", t - timedelta(seconds=3))  # known to the next run through the lookback alone
        say("goer", "gold", t, deleted=day % 2 == 1)
    order(1, f"c{day}", t)
    order(2, f"c{day - 1}", t - timedelta(seconds=10))
    order(3, "mover", t - timedelta(seconds=2))
    order(4, "goer", t - timedelta(seconds=1))
    machine.world.now = max(machine.world.now, t + timedelta(seconds=10))


def assert_whole(machine: Machine) -> None:
    """All above bronze is what a rebuild from certified bronze gives, and bronze has what the shop has now."""
    batches = machine.certified_batches("bronze.customers")
    heard = {str(row): row for lanes in batches.values() for row in lanes["accepted"]}
    log, orders = machine.content("silver.customer_changes"), machine.content("silver.orders")
    assert sorted(heard) == sorted(map(str, log.values()))
    assert {row["id"]: row for row in machine.shop.visible("orders", machine.world.now)} == orders
    now = {row["id"]: row for row in machine.shop.visible("customers", machine.world.now) if not row["deleted"]}
    assert now == customers(log) == machine.content("silver.customers")
    dim = dim_customer(log)
    assert dim == machine.latest("gold.dim_customer") == machine.content("gold.dim_customer")
    assert fact_sales(dim, orders) == machine.latest("gold.fact_sales") == machine.content("gold.fact_sales")


def run_until_caught_up(machine: Machine) -> None:
    machine.world.faults = {}
    for _ in range(2):
        machine.run()


def test_late_moves_and_returns_reach_history_and_the_facts_of_their_time():
    """A mover's order of before is tied to what the customer was then, in the very run that learns of it."""
    machine = shop_machine()

    for day in (1, 2, 3, 4):
        trade(machine, day)
        run_until_caught_up(machine)
        assert_whole(machine)

    assert {"passed"} == {record.status for record in machine.state._runs.values()}
    facts = {key: row["customer"] for key, row in machine.content("gold.fact_sales").items()}
    assert ("c1", START + timedelta(seconds=20)) == facts["o1-1"] == facts["o2-2"]
    assert ("mover", START + timedelta(seconds=57)) == facts["o3-3"]
    assert ("goer", START + timedelta(seconds=40)) == facts["o2-4"] == facts["o3-4"]
    assert 0 == facts["o4-4"]  # gone since day three


def _effects_of_second_day() -> int:
    machine = shop_machine()
    trade(machine, 1)
    machine.run()
    trade(machine, 2)
    before = machine.world.effects
    machine.run()
    return machine.world.effects - before


def test_killed_at_any_effect_new_runs_leave_history_and_facts_whole():
    """Before it or after, alone or with its execution, in turn; the shop trades on, and later runs end equal to a rebuild from bronze."""
    for step in range(1, _effects_of_second_day() + 1):
        machine = shop_machine()
        machine.dies_with_job = step % 4 < 2
        trade(machine, 1)
        machine.run()
        trade(machine, 2)
        machine.world.faults = {machine.world.effects + step: ("before", "after")[step % 2]}

        machine.run()
        machine.world.faults = {}
        trade(machine, 3)
        run_until_caught_up(machine)

        assert_whole(machine)


@pytest.mark.parametrize("seed", range(20))
def test_any_few_kills_and_edits_over_several_days_leave_history_and_facts_whole(seed):
    """Kills in a run and in its recovery, and definitions edited in between: of the log, of the history, of the fact."""
    dice = random.Random(seed)
    machine = shop_machine()
    for day in (1, 2, 3, 4):
        trade(machine, day)
        machine.dies_with_job = dice.random() < 0.5
        machine.world.faults = {machine.world.effects + dice.randint(1, 200): dice.choice(["before", "after"]) for _ in range(2)}
        machine.run()
        if dice.random() < 0.3:
            edited = dice.choice(["silver.customer_changes", "silver.customers", "gold.dim_customer", "gold.fact_sales"])
            tables = (replace(t, definition_hash=t.definition_hash + "'") if t.name == edited else t for t in machine.lake.tables)
            machine.lake = replace(machine.lake, tables=tuple(tables))
    run_until_caught_up(machine)

    assert_whole(machine)


@pytest.mark.parametrize("broken", INVARIANTS)
def test_a_history_that_breaks_an_invariant_stays_where_it_was_and_its_facts_with_it(broken):
    """The gate halts on each of them alone, and on evidence that does not speak of one."""
    machine = shop_machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    before = {name: machine.content(name) for name in ("gold.dim_customer", "gold.fact_sales")}
    trade(machine, 2)
    honest = machine.tables._rules

    def counted(table, elements):
        return tuple(replace(result, unexpected=int(result.rule == broken)) for result in honest(table, elements))

    machine.tables._rules = counted
    assert "blocked" == machine.run()
    assert before == {name: machine.content(name) for name in before}

    machine.tables._rules = lambda table, elements: tuple(result for result in honest(table, elements) if result.rule != broken)
    assert "blocked" == machine.run()
    assert before == {name: machine.content(name) for name in before}

    machine.tables._rules = honest
    run_until_caught_up(machine)
    assert_whole(machine)
