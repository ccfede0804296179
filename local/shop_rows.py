"""The demo shop's rows, made from a seeded generator: who buys, what is sold, what a day's orders look like. No database here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import NamedTuple

COUNTRIES = ("DE", "FR", "GB", "US", "NL", "ES", "IT", "PL")
TIERS = ("bronze", "silver", "gold")
CURRENCIES = ("USD", "EUR", "GBP")
STATUSES = ("placed", "paid", "shipped", "cancelled")
EVENT_TYPES = ("search", "view", "add_to_cart")
_RATES = {"USD": Decimal(1), "EUR": Decimal("1.08"), "GBP": Decimal("1.27")}
_GIVEN = ("Ada", "Bea", "Cem", "Dag", "Eva", "Fay", "Gus", "Hao", "Ida", "Jan", "Kim", "Lea", "Max", "Noa", "Oda", "Pia", "Rui", "Sam", "Tia", "Uma")
_FAMILY = (
    "Abe",
    "Berg",
    "Costa",
    "Diaz",
    "Evans",
    "Falk",
    "Gray",
    "Haas",
    "Ito",
    "Jong",
    "Katz",
    "Lind",
    "Mori",
    "Nagy",
    "Okoro",
    "Prado",
    "Quist",
    "Roy",
)
_STREETS = ("Mill Lane", "High Street", "Canal Road", "Station Square", "Orchard Way", "Harbour Street")
_CATEGORIES = ("kitchen", "garden", "books", "toys", "office", "sports")
_THINGS = ("kettle", "spade", "atlas", "puzzle", "lamp", "racket", "bowl", "planter", "notebook", "kite")


class Customer(NamedTuple):
    customer_id: str
    name: str
    email: str
    phone: str
    country: str
    tier: str
    is_deleted: bool
    updated_at: datetime


class Product(NamedTuple):
    product_id: str
    title: str
    category: str
    price: Decimal
    currency: str
    is_deleted: bool
    updated_at: datetime


class Order(NamedTuple):
    """As the shop's form sends it: numbers are text."""

    order_id: str | None
    customer_id: str
    product_id: str
    quantity: str
    amount: str
    currency: str
    shipping_address: str
    status: str
    is_deleted: bool
    ordered_at: datetime
    updated_at: datetime


class Event(NamedTuple):
    """As the web shop's tracker records it, some minutes after it occurred."""

    event_id: str | None
    customer_id: str
    event_type: str
    product_id: str | None
    ip_address: str
    occurred_at: datetime
    recorded_at: datetime


class Rate(NamedTuple):
    """As the treasury's file says it: the rate is text."""

    currency: str
    rate_date: date
    rate_to_usd: str
    published_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A stretch of time, its end included."""

    start: datetime
    end: datetime

    def moment(self, random: Random) -> datetime:
        return self.start + (self.end - self.start) * random.random()


def make_customers(random: Random, numbers: Sequence[int], period: Period) -> list[Customer]:
    """One row per number; each last written at some moment of the period."""
    rows = []
    for number in numbers:
        given, family = random.choice(_GIVEN), random.choice(_FAMILY)
        tier = random.choices(TIERS, weights=(70, 22, 8))[0]
        email, phone = f"{given}.{family}.{number}@example.com".lower(), f"+44 20 7946 {random.randrange(10_000):04d}"
        rows.append(Customer(f"C{number:09d}", f"{given} {family}", email, phone, random.choice(COUNTRIES), tier, False, period.moment(random)))
    return rows


def make_products(random: Random, numbers: Sequence[int], period: Period) -> list[Product]:
    """One row per number, priced in USD."""
    rows = []
    for number in numbers:
        title, price = f"{random.choice(_THINGS)} no. {number}", Decimal(random.randrange(300, 20_000)) / 100
        rows.append(Product(f"P{number:06d}", title, random.choice(_CATEGORIES), price, "USD", False, period.moment(random)))
    return rows


def make_orders(
    random: Random, numbers: Sequence[int], *, customers: Sequence[str], products: Sequence[tuple[str, Decimal]], period: Period
) -> list[Order]:
    """One row per number, placed at a moment of the period and since then moved on, never beyond the period's end."""
    rows = []
    for number in numbers:
        (product, price), quantity, currency = (
            random.choice(products),
            random.choices((1, 2, 3, 5), weights=(60, 25, 10, 5))[0],
            random.choice(CURRENCIES),
        )
        amount = (price * quantity / _RATES[currency]).quantize(Decimal("0.01"))
        ordered = period.moment(random)
        updated = min(ordered + timedelta(hours=random.expovariate(1 / 12)), period.end)
        age_days = (period.end - ordered) / timedelta(days=1)
        status = "placed" if age_days < 1 else random.choices(STATUSES, weights=(2, 18, 75, 5))[0]
        address = f"{random.randrange(1, 200)} {random.choice(_STREETS)}, {random.choice(COUNTRIES)}"
        customer = random.choice(customers)
        rows.append(Order(f"O{number:09d}", customer, product, str(quantity), str(amount), currency, address, status, False, ordered, updated))
    return rows


def make_events(random: Random, orders: Sequence[Order]) -> list[Event]:
    """The web events of every fourth of these orders, the share that is placed on the web: three in the hour before each, and of every fiftieth
    event a second copy, recorded later.

    All is recorded at least ten minutes before the order was placed: what the tracker has not loaded yet is in nobody's window.
    """
    rows = []
    for order in orders[::4]:
        address = f"203.0.113.{random.randrange(256)}"
        for number, kind in enumerate(EVENT_TYPES):
            product = None if kind == "search" else order.product_id
            occurred = order.ordered_at - timedelta(minutes=random.uniform(20, 60))
            recorded = occurred + timedelta(minutes=random.uniform(1, 5))
            event = Event(f"E{(order.order_id or '')[1:]}{number}", order.customer_id, kind, product, address, occurred, recorded)
            rows.append(event)
            if random.random() < 1 / 50:
                rows.append(event._replace(recorded_at=recorded + timedelta(minutes=random.uniform(1, 5))))
    return rows


def make_rates(random: Random, period: Period) -> list[Rate]:
    """One row per currency and calendar day (UTC) that the period touches; written early that day, within the period."""
    days = [period.start.date() + timedelta(days=n) for n in range((period.end.date() - period.start.date()).days + 1)]
    rows: list[Rate] = []
    for day in days:
        opened = datetime(day.year, day.month, day.day, 0, 5, tzinfo=UTC)
        written = min(max(opened, period.start), period.end)
        rows.extend(rates_of(random, day, written))
    return rows


def rates_of(random: Random, day: date, published: datetime) -> list[Rate]:
    """A day's rate of every currency: near its usual one; the dollar's is 1."""
    moved = {currency: 1 + Decimal(random.gauss(0, 0.004)).quantize(Decimal("0.000001")) for currency in CURRENCIES if currency != "USD"}
    rates = {currency: (_RATES[currency] * moved.get(currency, Decimal(1))).quantize(Decimal("0.00000001")) for currency in CURRENCIES}
    return [Rate(currency, day, str(rate), published) for currency, rate in rates.items()]
