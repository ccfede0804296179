"""A job's tables go together where they do not need each other, and never otherwise."""

import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler import compile_lake
from local.places import ROOT
from shared.core.graph import needs_among
from shared.core.ports import Task
from shared.core.steps.working import backwards, tasks
from shared.job import in_order

LAKE = compile_lake(ROOT / "lake")
THREADS = st.integers(1, 4)


@st.composite
def table_sets(draw):
    """Tables that read any of those before them."""
    given = LAKE.table("silver.orders")
    names = [f"silver.t{number}" for number in range(draw(st.integers(1, 8)))]
    inputs = [draw(st.sets(st.sampled_from(names[:number]))) if number else set() for number in range(len(names))]
    return [replace(given, name=name, inputs=tuple(sorted(read)), relationships=()) for name, read in zip(names, inputs, strict=True)]


class Watched:
    """What began and ended, and what had ended when it began."""

    def __init__(self, *, failing=()):
        self._lock, self._failing = threading.Lock(), failing
        self.begun, self.ended, self.before, self.most = [], [], {}, 0

    def do(self, name):
        with self._lock:
            self.before[name] = set(self.ended)
            self.begun.append(name)
            self.most = max(self.most, len(self.begun) - len(self.ended))
        if name in self._failing:
            raise LookupError(name)
        with self._lock:
            self.ended.append(name)


@given(table_sets(), THREADS)
def test_everything_is_done_once_and_after_all_it_needs(tables, threads):
    forth, back = Watched(), Watched()
    forward = tasks(tables, lambda table: forth.do(table.name))

    in_order(threads, forward)
    in_order(threads, backwards(forward, back.do))

    assert sorted(table.name for table in tables) == sorted(forth.begun) == sorted(back.begun)
    for table in tables:
        assert set(table.inputs) <= forth.before[table.name]
        assert all(table.name in back.before[read] for read in table.inputs)
    assert max(forth.most, back.most) <= threads


@given(table_sets())
def test_one_by_one_in_the_order_given_is_an_order_too(tables):
    order = list(needs_among(tables))
    assert all(order.index(read) < order.index(table.name) for table in tables for read in table.inputs)


def test_what_most_others_wait_for_comes_first_and_what_a_relationship_points_at_before_what_points():
    silver = needs_among([table for table in LAKE.tables if table.layer == "silver"])
    assert {"silver.customer_behavior", "silver.customer_changes", "silver.orders"} == set(list(silver)[:3])
    assert {"gold.dim_customer", "gold.dim_date", "gold.dim_product"} <= needs_among(LAKE.of_stage("stage"))["gold.fact_sales"]


def test_tables_that_do_not_need_each_other_go_together():
    together = threading.Barrier(2, timeout=20)
    in_order(2, [Task(name=name, needs=frozenset(), do=together.wait) for name in ("one", "other")])


@given(table_sets(), THREADS, st.data())
def test_an_error_is_raised_when_all_that_had_begun_is_done_and_nothing_begins_after_it(tables, threads, data):
    failing = data.draw(st.sampled_from([table.name for table in tables]))
    watched = Watched(failing={failing})

    with pytest.raises(LookupError, match=failing):
        in_order(threads, tasks(tables, lambda table: watched.do(table.name)))

    assert {*watched.ended, failing} == set(watched.begun)
    assert not any(failing in table.inputs and table.name in watched.begun for table in tables)
    assert threads > 1 or failing == watched.begun[-1]
