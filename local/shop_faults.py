"""What goes wrong in a shop's data, planted on purpose: which faults there are, how a good order becomes one, and what must reject it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from local.shop_rows import Order

FaultKind = Literal["bad_enum", "negative_amount", "unparsable_number", "missing_key", "exact_copy"]
KINDS: tuple[FaultKind, ...] = ("bad_enum", "negative_amount", "unparsable_number", "missing_key", "exact_copy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One faulty row as written, and the rule of the demo lake that must reject it."""

    kind: FaultKind
    reason: str
    row: Order

    def entry(self) -> Mapping[str, str | None]:
        """The ledger's line: what identifies the row, without anybody's address."""
        kept = ("order_id", "customer_id", "product_id", "quantity", "amount", "currency")
        told = {name: getattr(self.row, name) for name in kept}
        return {"kind": self.kind, "table": "orders", "reason": self.reason, **told, "updated_at": self.row.updated_at.isoformat()}


_SPOILT: Mapping[FaultKind, tuple[str, Callable[[Order], Order]]] = {
    "bad_enum": ("currency_known", lambda order: order._replace(currency="XXX")),
    "negative_amount": ("amount.range", lambda order: order._replace(amount=f"-{order.amount}")),
    "unparsable_number": ("quantity.type", lambda order: order._replace(quantity="three")),
    "missing_key": ("order_id.required", lambda order: order._replace(order_id=None)),
    "exact_copy": ("exact_copy", lambda order: order),
}


def plant(random: Random, orders: Sequence[Order], *, each: int) -> tuple[list[Order], list[Planted]]:
    """Spoil `each` rows of every kind, all different ones. The rows to write, copies added, and what was planted.

    Takes fewer of each kind when there are too few orders; with less than one order per kind, none.
    """
    each = min(each, len(orders) // len(KINDS))
    chosen = random.sample(range(len(orders)), each * len(KINDS))
    rows, planted = list(orders), []
    for number, position in enumerate(chosen):
        kind = KINDS[number % len(KINDS)]
        reason, spoil = _SPOILT[kind]
        spoilt = spoil(orders[position])
        if kind == "exact_copy":
            rows.append(spoilt)
        else:
            rows[position] = spoilt
        planted.append(Planted(kind=kind, reason=reason, row=spoilt))
    return rows, planted
