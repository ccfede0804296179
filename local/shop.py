"""The demo shop: filled once, then trading. PostgreSQL holds its books, its tracker's events and the treasury's files. Every step is one
transaction, with its lines in the ledger of planted faults; the files are handed over after it, and those that were not yet by the next step.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import psycopg

from local.errors import LaptopError
from local.postgres import Database
from local.shop_faults import Planted, plant
from local.shop_files import as_csv
from local.shop_rows import (
    CURRENCIES,
    TIERS,
    Customer,
    Event,
    Order,
    Period,
    Product,
    make_customers,
    make_events,
    make_orders,
    make_products,
    make_rates,
    rates_of,
)

DAYS, ORDERS = 30, 40_000
_FAULTS_OF_EACH_KIND = 2
_DAYS_RESTATED = 3  # by each file of the treasury while the shop trades: orders are worth something else than they were
_TABLES = """
create schema sales;
create schema web;
create table sales.customers (
  customer_id text, name text, email text, phone text, country text, tier text, is_deleted boolean, updated_at timestamptz);
create table sales.products (
  product_id text, title text, category text, price numeric(12,2), currency text, is_deleted boolean, updated_at timestamptz);
create table sales.orders (
  order_id text, customer_id text, product_id text, quantity text, amount text, currency text, shipping_address text, status text,
  is_deleted boolean, ordered_at timestamptz, updated_at timestamptz,
  order_date date generated always as ((ordered_at at time zone 'UTC')::date) stored);
create table web.customer_behavior (
  event_id text, customer_id text, event_type text, product_id text, ip_address text, occurred_at timestamptz, recorded_at timestamptz,
  event_date date generated always as ((occurred_at at time zone 'UTC')::date) stored);
create index on sales.customers (updated_at);
create index on sales.orders (updated_at);
create index on sales.orders (order_id);
create index on web.customer_behavior (recorded_at);
create table public.shop_files (name text primary key, body text);
create table public.shop_book (seed text, orders_per_day integer, steps integer);
create table public.shop_ledger (line serial, entry jsonb);
create sequence public.shop_order_number;
"""
# Neither spoilt nor doubled: an order that was rejected once must not come back by an update.
_SOUND = """
select order_id from sales.orders
where order_id is not null and currency = any(%s) and amount ~ '^[0-9]' and quantity ~ '^[0-9]+$' and not is_deleted and status <> 'cancelled'
group by order_id having count(*) = 1 order by order_id desc limit %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traded:
    """What one traded day wrote."""

    orders: int
    events: int
    changed: int
    deleted: int
    late: int
    faults: int


class Shop:
    """One shop. `ledger` is a JSON copy of the planted faults, for reading; the truth is in the database. `put` takes all files of the
    treasury, by name, after each step.
    """

    def __init__(self, database: Database, *, ledger: Path, put: Callable[[Mapping[str, str]], None]) -> None:
        self._database = database
        self._ledger = ledger
        self._put = put

    def is_filled(self) -> bool:
        with self._database.connect() as connection:
            return connection.execute("select to_regclass('public.shop_book')").fetchone() != (None,)

    def fill(self, *, days: int = DAYS, orders: int = ORDERS, end: datetime | None = None, seed: str = "sluice") -> None:
        """Tables and their first `days`, ending at `end` (the database's now). The same seed gives the same rows, shifted in time."""
        if self.is_filled():
            raise LaptopError("the shop is filled already; `sluice local down` and remove .local to begin anew")
        random = Random(f"{seed}:fill")
        with self._database.connect() as connection:
            connection.execute(_TABLES)
            connection.execute(f"grant usage on schema sales, web to {self._database.reader}")
            connection.execute(f"grant select on all tables in schema sales, web to {self._database.reader}")
            now = end or _now(connection)
            period = Period(start=now - timedelta(days=days), end=now)
            opening = Period(start=period.start, end=period.start + timedelta(days=days) / 10)
            customers = make_customers(random, range(1, max(20, orders // 10) + 1), period)
            products = make_products(random, range(1, max(10, orders // 100) + 1), opening)
            numbers = range(1, orders + 1)
            known = [(product.product_id, product.price) for product in products]
            bought = make_orders(random, numbers, customers=[row.customer_id for row in customers], products=known, period=period)
            _copy(connection, "sales.customers", Customer, customers)
            _copy(connection, "sales.products", Product, products)
            _copy(connection, "sales.orders", Order, bought)
            _copy(connection, "web.customer_behavior", Event, make_events(random, bought))
            rates = make_rates(random, period)
            for day in sorted({rate.rate_date for rate in rates}):
                _file(connection, f"{day}.csv", as_csv([rate for rate in rates if rate.rate_date == day]))
            connection.execute("select setval('public.shop_order_number', %s)", [orders])
            connection.execute("insert into public.shop_book values (%s, %s, 0)", [seed, max(1, round(orders / days))])
        self._write_ledger()
        self.hand_over()

    def hand_over(self) -> None:
        """Give every file of the treasury to `put`, also those that were given before."""
        with self._database.connect() as connection:
            self._put(dict(connection.execute("select name, body from public.shop_files").fetchall()))

    def trade(self, days: int = 1, *, faults: bool = False) -> Sequence[Traded]:
        """Trade day after day, all dated now: `updated_at` is the writing transaction's own now(). A late commit ends each day."""
        return [self._day(faults=faults) for _ in range(days)]

    @contextmanager
    def late_commit(self, *, orders: int = 3) -> Iterator[Sequence[str]]:
        """New orders in a transaction that stays open meanwhile; it commits, with its old now(), when the block ends. Their ids."""
        with self._database.connect() as connection:
            random, _, _ = self._step(connection, hold=False)
            rows = self._new_orders(connection, random, orders)
            _copy(connection, "sales.orders", Order, rows)
            yield [row.order_id for row in rows if row.order_id]

    def ledger(self) -> Sequence[Mapping[str, Any]]:
        """Every planted fault, in order of planting."""
        with self._database.connect() as connection:
            return [entry for (entry,) in connection.execute("select entry from public.shop_ledger order by line")]

    def _day(self, *, faults: bool) -> Traded:
        with self._database.connect() as slow:
            _now(slow)  # opens its transaction: its now() is older than what commits before it
            with self._database.connect() as connection:
                random, volume, step = self._step(connection, hold=True)
                sound = self._new_orders(connection, random, volume)
                each = _FAULTS_OF_EACH_KIND if faults else 0
                late = random.sample(sound, min(len(sound) // 100 + 1, len(sound)))
                prompt = [row for row in sound if row not in late]
                rows, planted = plant(random, prompt, each=each)
                changed, deleted = self._change(connection, random, volume)
                _copy(connection, "sales.orders", Order, rows)
                events, doubtful = plant(random, make_events(random, sound), each=each)
                _copy(connection, "web.customer_behavior", Event, events)
                moment = _now(connection).astimezone(UTC)
                told = [rate for ago in range(_DAYS_RESTATED) for rate in rates_of(random, moment.date() - timedelta(days=ago), moment)]
                rates, unread = plant(random, told, each=each)
                _file(connection, f"{moment.date()}-{step:04d}.csv", as_csv(rates))
                planted += doubtful + unread
                _record(connection, planted)
            moment = _now(slow)
            _copy(slow, "sales.orders", Order, [row._replace(ordered_at=moment, updated_at=moment) for row in late])
        self._write_ledger()
        self.hand_over()
        return Traded(orders=len(sound), events=len(events), changed=changed, deleted=deleted, late=len(late), faults=len(planted))

    def _step(self, connection: "psycopg.Connection[Any]", *, hold: bool) -> tuple[Random, int, int]:
        """The next step's generator, a day's volume, and the step's number. With `hold`, other steps wait until this transaction ends."""
        if hold:
            connection.execute("select pg_advisory_xact_lock(1)")
        found = connection.execute("select nextval('public.shop_ledger_line_seq'), seed, orders_per_day from public.shop_book").fetchone()
        if found is None:
            raise LaptopError("the shop is empty; fill it first")
        step, seed, volume = found
        return Random(f"{seed}:{step}"), volume, step

    def _new_orders(self, connection: "psycopg.Connection[Any]", random: Random, count: int) -> list[Order]:
        now = _now(connection)
        # A sequence, not the greatest id: an open transaction's orders cannot be seen and have their numbers already.
        first = _one(connection, f"select min(nextval('public.shop_order_number')) from generate_series(1, {count})") if count else 0
        customers = [row[0] for row in connection.execute("select customer_id from sales.customers where not is_deleted order by 1")]
        products: list[tuple[str, Decimal]] = list(
            connection.execute("select product_id, price from sales.products where not is_deleted order by 1").fetchall()
        )
        moment = Period(start=now, end=now)
        return make_orders(random, range(first, first + count), customers=customers, products=products, period=moment)

    def _change(self, connection: "psycopg.Connection[Any]", random: Random, volume: int) -> tuple[int, int]:
        """Orders move on and are withdrawn, customers rise and leave, products are repriced."""
        recent = [row[0] for row in connection.execute(_SOUND, [list(CURRENCIES), volume * 5])]
        moving = random.sample(recent, min(volume // 3 + 1, len(recent)))
        gone, moved = moving[: len(moving) // 20 + 1], moving[len(moving) // 20 + 1 :]
        changed = _run(connection, "update sales.orders set status = 'shipped', updated_at = now() where order_id = any(%s)", moved)
        deleted = _run(connection, "update sales.orders set is_deleted = true, updated_at = now() where order_id = any(%s)", gone)
        people = [row[0] for row in connection.execute("select customer_id from sales.customers where not is_deleted order by 1")]
        rising = random.sample(people, len(people) // 50 + 1)
        leaving, rising = rising[:1], rising[1:]
        tier = random.choice(TIERS)
        changed += _run(connection, f"update sales.customers set tier = '{tier}', updated_at = now() where customer_id = any(%s)", rising)
        deleted += _run(connection, "update sales.customers set is_deleted = true, updated_at = now() where customer_id = any(%s)", leaving)
        goods = [row[0] for row in connection.execute("select product_id from sales.products where not is_deleted order by 1")]
        dearer = random.sample(goods, len(goods) // 20 + 1)
        changed += _run(connection, "update sales.products set price = round(price * 1.03, 2), updated_at = now() where product_id = any(%s)", dearer)
        return changed, deleted

    def _write_ledger(self) -> None:
        partial = self._ledger.with_name(self._ledger.name + ".partial")
        partial.write_text(json.dumps(list(self.ledger()), indent=1) + "\n", encoding="utf-8")
        partial.rename(self._ledger)


def _now(connection: "psycopg.Connection[Any]") -> datetime:
    moment: datetime = _one(connection, "select now()")
    return moment


def _one(connection: "psycopg.Connection[Any]", question: str) -> Any:
    found = connection.execute(question).fetchone()
    return found[0] if found else None


def _run(connection: "psycopg.Connection[Any]", statement: str, keys: Sequence[str]) -> int:
    return connection.execute(statement, [list(keys)]).rowcount


def _file(connection: "psycopg.Connection[Any]", name: str, body: str) -> None:
    connection.execute("insert into public.shop_files values (%s, %s)", [name, body])


def _copy(connection: "psycopg.Connection[Any]", table: str, kind: type[Any], rows: Iterable[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"copy {table} ({', '.join(kind._fields)}) from stdin") as copy:
        for row in rows:
            copy.write_row(row)


def _record(connection: "psycopg.Connection[Any]", planted: Sequence[Planted]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany("insert into public.shop_ledger (entry) values (%s)", [[json.dumps(dict(fault.entry()))] for fault in planted])
