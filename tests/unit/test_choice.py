"""What a run may be limited to, and what it takes along."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.choice import choose, plan_request
from shared.core.errors import RequestRefused
from shared.core.events import PlanRequest, RunRequest
from shared.core.graph import needed_for, only
from shared.core.messages import Replay
from shared.spec.lake import Lake, Relationship
from tests.machine import small_lake, table

NAMES = [f"{layer}.t{number}" for layer in ("bronze", "silver", "gold") for number in range(4)]


@st.composite
def lakes(draw):
    """Twelve tables: each above bronze reads some earlier one, each of gold may point at another of gold."""
    made = []
    for position, name in enumerate(NAMES):
        layer = name.split(".")[0]
        below = [] if layer == "bronze" else [n for n in NAMES[:position] if layer == "silver" or not n.startswith("bronze.")]
        inputs = tuple(sorted(draw(st.lists(st.sampled_from(below), max_size=2, unique=True)))) if below else ()
        others = [n for n in NAMES if n.startswith("gold.") and n != name] if layer == "gold" else []
        points_at = draw(st.lists(st.sampled_from(others), max_size=1)) if others else []
        ties = tuple(Relationship(column="id", to_table=n, to_column="id") for n in points_at)
        made.append(table(name, "append" if layer == "bronze" else "derive", inputs=inputs, relationships=ties))
    return Lake(tables=tuple(made), environments={})


def walked(lake: Lake, start: set[str]) -> set[str]:
    """The same by one step at a time from table to table."""
    found, left = set(), sorted(start)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += lake.table(name).inputs
            left += [r.to_table for r in lake.table(name).relationships]
            left += [t.name for t in lake.tables for r in t.relationships if r.to_table == name]
    return found


@given(lake=lakes(), chosen=st.sets(st.sampled_from(NAMES), min_size=1, max_size=3))
def test_a_limited_run_has_all_that_its_tables_need_and_nothing_else(lake, chosen):
    """No input of one of its tables is left out, no star is cut; they stand in the lake's order, and make a lake."""
    needed = needed_for(lake, chosen)

    assert walked(lake, chosen) == set(needed)
    assert [t.name for t in only(lake, needed).tables] == list(needed)


def test_a_run_without_names_is_of_all_tables():
    """Also when some are to be computed anew."""
    choice = choose(small_lake(), tables=(), full_refresh=("gold.fact_sales",))

    assert ([t.name for t in small_lake().tables], ("gold.fact_sales",), None) == (list(choice.tables), choice.full_refresh, choice.why)


def test_tables_and_refreshes_limit_together():
    """What is to be refreshed is part of the run, with what it needs."""
    choice = choose(small_lake(), tables=("bronze.products",), full_refresh=("silver.orders",))

    assert ("bronze.orders", "bronze.products", "silver.orders") == choice.tables
    assert ("silver.orders",) == choice.full_refresh


def test_a_star_is_taken_whole_from_any_of_its_points():
    """Fact to dimension and dimension to fact."""
    of_all = tuple(t.name for t in small_lake().tables)

    assert of_all == choose(small_lake(), tables=("gold.dim_product",), full_refresh=()).tables
    assert of_all == choose(small_lake(), tables=("gold.fact_sales",), full_refresh=()).tables


def test_a_limited_run_reads_the_table_whose_rejects_it_replays():
    """Or the replay would be asked for and not done."""
    replay = Replay(table="bronze.products")

    assert ("bronze.orders", "bronze.products") == choose(small_lake(), tables=("bronze.orders",), full_refresh=(), replay=replay).tables
    assert choose(small_lake(), tables=(), full_refresh=()) == choose(small_lake(), tables=(), full_refresh=(), replay=replay)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"tables": ("gold.fact_sale",)}, "Did you mean 'gold.fact_sales'?"),
        ({"tables": ("silver.orders", "zzz")}, "'zzz' is not a table of this lake. There are bronze.orders, bronze.products,"),
        ({"replay": Replay(table="bronze.order")}, "Did you mean 'bronze.orders'?"),
        ({"full_refresh": ("gold.dim_products",)}, "Did you mean 'gold.dim_product'?"),
        ({"full_refresh": ("bronze.products",)}, "rebuild what reads it: silver.products"),
    ],
)
def test_what_a_run_cannot_take_is_refused_with_what_to_write(asked, says):
    """Nothing is ignored."""
    with pytest.raises(RequestRefused) as refused:
        choose(small_lake(), **({"tables": (), "full_refresh": ()} | asked))

    assert says in str(refused.value)


def asked_by(given):
    return plan_request(RunRequest(run="run-1", machine="machine", input=given))


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, {}),
        ({"scheduled": "2026-03-22T19:59:43+01:00"}, {"scheduled": "2026-03-22T18:59:43.000000Z"}),
        ({"tables": ["silver.orders"], "full_refresh": []}, {"tables": ("silver.orders",)}),
        ({"replay": {"table": "bronze.orders"}}, {"replay": Replay(table="bronze.orders")}),
    ],
)
def test_an_input_asks_for_what_it_says_and_for_every_table_without_a_word(given, asked):
    """As a schedule, the command line and a person write it."""
    assert PlanRequest(run="run-1", machine="machine", **asked) == asked_by(given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"tables": [], "table": ["silver.orders"]}, "holds 'table'; a run takes scheduled, tables, full_refresh, replay and nothing else"),
        ({"full-refresh": [], "run": "run-2"}, "holds 'full-refresh', 'run'; a run takes"),
        ({"tables": "silver.orders"}, "tables: expected tuple, found str; tables are named in lists"),
        ({"tables": [1]}, "tables[0]: expected str"),
        ({"tables": None}, "tables: expected tuple"),
        ({"replay": {"tabel": "bronze.orders"}}, "replay: missing ['table'], unknown ['tabel']"),
        (["silver.orders"], "is no object but list; write {} for a run of every table"),
        (None, "is no object but NoneType"),
    ],
)
def test_an_input_that_says_something_else_is_refused_by_the_word(given, says):
    """A misspelt word would leave out the limit, and the run would be of every table."""
    with pytest.raises(RequestRefused) as refused:
        asked_by(given)

    assert says in str(refused.value)
