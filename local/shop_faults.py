"""What goes wrong in a shop's data, planted on purpose: which faults there are, how a good order becomes one, and what must reject it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any, Literal, TypeVar

from local.shop_rows import Event, Order, Rate

FaultKind = Literal["bad_enum", "negative_amount", "unparsable_number", "missing_key", "exact_copy"]
Row = TypeVar("Row", Order, Event, Rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One faulty row as written, and the rule of the demo lake that must reject it."""

    kind: FaultKind
    reason: str
    row: Order | Event | Rate

    def entry(self) -> Mapping[str, str | None]:
        """The ledger's line: what identifies the row, without anybody's address."""
        table, kept = _TOLD[type(self.row)]
        told = {name: _text(getattr(self.row, name)) for name in kept}
        return {"kind": self.kind, "table": table, "reason": self.reason, **told}


_TOLD: Mapping[type, tuple[str, tuple[str, ...]]] = {
    Order: ("orders", ("order_id", "customer_id", "product_id", "quantity", "amount", "currency", "updated_at")),
    Event: ("customer_behavior", ("event_id", "customer_id", "event_type", "product_id", "recorded_at")),
    Rate: ("fx_rates", ("currency", "rate_date", "rate_to_usd", "published_at")),
}
_SPOILT: Mapping[type, Mapping[FaultKind, tuple[str, Callable[[Any], Any]]]] = {
    Order: {
        "bad_enum": ("currency_known", lambda order: order._replace(currency="XXX")),
        "negative_amount": ("amount.range", lambda order: order._replace(amount=f"-{order.amount}")),
        "unparsable_number": ("quantity.type", lambda order: order._replace(quantity="three")),
        "missing_key": ("order_id.required", lambda order: order._replace(order_id=None)),
        "exact_copy": ("exact_copy", lambda order: order),
    },
    Event: {
        "bad_enum": ("event_type_known", lambda event: event._replace(event_type="teleport")),
        "missing_key": ("event_id.required", lambda event: event._replace(event_id=None)),
        "exact_copy": ("exact_copy", lambda event: event),
    },
    Rate: {"unparsable_number": ("rate_to_usd.type", lambda rate: rate._replace(rate_to_usd="n/a"))},
}


def kinds_of(row: type) -> tuple[FaultKind, ...]:
    """What can go wrong with a row of this type."""
    return tuple(_SPOILT[row])


def plant(random: Random, sound: Sequence[Row], *, each: int) -> tuple[list[Row], list[Planted]]:
    """Spoil `each` rows of every kind, all different ones. The rows to write, copies added, and what was planted.

    Takes fewer of each kind when there are too few rows; with less than one row per kind, none.
    """
    rows, planted = list(sound), list[Planted]()
    spoilt_by = _SPOILT[type(rows[0])] if rows else {}
    each = min(each, len(rows) // len(spoilt_by)) if spoilt_by else 0
    for number, position in enumerate(random.sample(range(len(rows)), each * len(spoilt_by))):
        kind = tuple(spoilt_by)[number % len(spoilt_by)]
        reason, spoil = spoilt_by[kind]
        spoilt = spoil(rows[position])
        if kind == "exact_copy":
            rows.append(spoilt)
        else:
            rows[position] = spoilt
        planted.append(Planted(kind=kind, reason=reason, row=spoilt))
    return rows, planted


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, date) else str(value)
