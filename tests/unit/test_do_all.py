"""A job's tables go together where they do not need each other, and never otherwise."""

import threading
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler import compile_lake
from local.places import ROOT
from shared.core.graph import needs_among
from shared.core.ports import Task
from shared.core.steps.working import backwards, one_by_one, tasks
from shared.job import do_all
from shared.spec.lake import Relationship

LAKE = compile_lake(ROOT / "lake")
SILVER = LAKE.table("silver.orders")
THREADS = st.integers(1, 4)


@st.composite
def table_sets(draw):
    """Tables that read any of those before them, and point at any of those or at themselves."""
    names = [f"silver.t{number}" for number in range(draw(st.integers(1, 8)))]
    made = []
    for number, name in enumerate(names):
        read = draw(st.sets(st.sampled_from(names[:number]))) if number else set()
        pointed_at = draw(st.sets(st.sampled_from(names[: number + 1])))
        links = tuple(Relationship(column="a", to_table=other, to_column="b") for other in sorted(pointed_at))
        made.append(replace(SILVER, name=name, inputs=tuple(sorted(read)), relationships=links))
    return made


def needed_by(table):
    return {*table.inputs, *(link.to_table for link in table.relationships)} - {table.name}


class Watched:
    """What began and ended, and what had ended when it began. Each takes a moment, in which the others go on."""

    def __init__(self, *, failing=()):
        self._lock, self._failing = threading.Lock(), failing
        self.begun, self.ended, self.before = [], [], {}

    def do(self, name):
        with self._lock:
            self.before[name] = set(self.ended)
            self.begun.append(name)
        if name in self._failing:
            raise LookupError(name)
        time.sleep(0.001)
        with self._lock:
            self.ended.append(name)


def there_and_back(made, tables, threads):
    """What was watched of the tables' tasks, as `made` makes them, and of those backwards."""
    forth, back = Watched(), Watched()
    forward = made(tables, lambda table: forth.do(table.name))
    do_all(threads, forward)
    do_all(threads, backwards(forward, back.do))
    return forth, back


@given(table_sets(), THREADS)
def test_everything_is_done_once_and_after_all_it_needs(tables, threads):
    forth, back = there_and_back(tasks, tables, threads)

    assert sorted(table.name for table in tables) == sorted(forth.begun) == sorted(back.begun)
    for table in tables:
        assert needed_by(table) <= forth.before[table.name]
        assert all(table.name in back.before[other] for other in needed_by(table))


@given(table_sets(), THREADS)
def test_one_by_one_keeps_the_order_given_there_and_back(tables, threads):
    forth, back = there_and_back(one_by_one, tables, threads)

    assert [table.name for table in tables] == forth.begun == forth.ended == back.begun[::-1] == back.ended[::-1]


def test_what_the_longest_chain_waits_for_comes_first_and_what_is_pointed_at_before_what_points():
    silver = needs_among([table for table in LAKE.tables if table.layer == "silver"])
    assert {"silver.customer_behavior", "silver.customer_changes", "silver.orders"} == set(list(silver)[:3])
    assert {"gold.dim_customer", "gold.dim_date", "gold.dim_product"} <= needs_among(LAKE.of_stage("stage"))["gold.fact_sales"]


def test_tables_that_do_not_need_each_other_go_together():
    together = threading.Barrier(2, timeout=20)
    do_all(2, [Task(name=name, needs=frozenset(), do=together.wait) for name in ("one", "other")])


def test_tasks_that_wait_for_each_other_are_an_error():
    with pytest.raises(AssertionError, match=r"one, other: wait for each other"):
        do_all(2, [Task(name=name, needs=frozenset({needed}), do=lambda: None) for name, needed in (("one", "other"), ("other", "one"))])


@given(table_sets(), THREADS, st.data())
def test_an_error_is_raised_when_all_that_had_begun_is_done_and_nothing_begins_that_needs_it(tables, threads, data):
    failing = data.draw(st.sampled_from([table.name for table in tables]))
    watched = Watched(failing={failing})

    with pytest.raises(LookupError, match=failing):
        do_all(threads, tasks(tables, lambda table: watched.do(table.name)))

    assert {*watched.ended, failing} == set(watched.begun)
    assert not any(failing in needed_by(table) and table.name in watched.begun for table in tables)
    assert threads > 1 or failing == watched.begun[-1]
