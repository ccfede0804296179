"""Planted faults against rejects: equal means the same rows for the same reasons, as often; anything else goes red and names the row."""

import json
from dataclasses import replace

import pytest

from cli import story
from cli.errors import CommandError
from cli.ledger import compare, fault_of_entry, fault_of_reject, ledger_columns, read_ledger
from local.shop_faults import Planted
from local.shop_rows import Order
from shared.spec.lake import Source
from tests.fakes import START
from tests.machine import column, table
from tests.unit.cli_desk import FakeDesk

MASKED = replace(column("amount"), mask="redact", classification="restricted")
ORDERS = table("bronze.orders", "append", columns=(column("order_id", key=1), column("currency"), column("updated_at")))
ORDERS = replace(ORDERS, source=replace(ORDERS.source, relation="SALES.ORDERS"))
ENTRY = {
    "kind": "bad_enum",
    "table": "orders",
    "reason": "currency_known",
    "order_id": "O1",
    "currency": "XXX",
    "updated_at": "2026-11-23T04:00:00.120000+00:00",
}
# As Spark writes the same row: no T, no zone, no trailing zeros, and columns that the ledger does not tell.
ORIGINAL = {"order_id": "O1", "currency": "XXX", "updated_at": "2026-11-23 04:00:00.12", "shipping_address": "[redacted]"}
COLUMNS = ("currency", "order_id", "updated_at")


def planted(**changes):
    return fault_of_entry({**ENTRY, **changes}, [ORDERS])


def rejected(reasons=("currency_known",), **changes):
    return fault_of_reject(ORDERS, reasons, json.dumps({**ORIGINAL, **changes}), COLUMNS)


def test_the_same_rows_for_the_same_reasons_are_equal():
    """Whatever each side calls an instant."""
    other = {"order_id": None}

    assert compare([planted(), planted(**other)], [rejected(**other), rejected()]).equal


@pytest.mark.parametrize(
    "rejects",
    [
        [],
        [rejected(), rejected()],
        [rejected(reasons=("amount.range",))],
        [rejected(reasons=("currency_known", "quantity.type"))],
        [rejected(order_id="O2")],
        [rejected(order_id=None)],
        [rejected(updated_at="2026-11-23 04:00:00.13")],
    ],
    ids=["not rejected", "rejected twice", "another reason", "one reason more", "another row", "a lost key", "another state of the row"],
)
def test_every_kind_of_difference_is_red_and_named(rejects, capsys):
    """Row for row: the same number is not enough."""
    comparison = compare([planted()], rejects)

    story.show_comparison(comparison)

    assert not comparison.equal
    assert "not the same" in capsys.readouterr().out


def test_a_reject_that_nobody_planted_is_named():
    """A good row that is rejected is a fault of ours."""
    comparison = compare([], [rejected()])

    assert "bronze.orders: currency_known: currency XXX, order_id O1" in str(comparison.unexpected[0])
    assert () == comparison.missing


def test_columns_that_bronze_masks_do_not_identify():
    """A masked value never equals a clear one."""
    masked = replace(ORDERS, columns=(*ORDERS.columns, MASKED))

    assert ["currency", "order_id", "updated_at"] == ledger_columns({**ENTRY, "amount": "1"}, masked)


def test_what_the_shop_writes_is_what_this_reads(tmp_path):
    """The ledger's own shape, from the shop's own code."""
    row = Order("O1", "C1", "P1", "1", "2.00", "XXX", "somewhere", "placed", False, START, START)
    entry = Planted(kind="bad_enum", reason="currency_known", row=row).entry()
    original = {name: None if value is None else str(value).replace("+00:00", "") for name, value in row._asdict().items()}
    names = ledger_columns(entry, ORDERS)

    ours = fault_of_entry(entry, [ORDERS])

    assert ours == fault_of_reject(ORDERS, ["currency_known"], json.dumps(original), names)
    assert {"order_id", "customer_id", "product_id", "quantity", "amount", "currency", "updated_at"} == set(names)


def test_a_ledger_of_another_lake_is_refused():
    """The demo speaks of the demo's shop."""
    with pytest.raises(CommandError, match="no bronze contract reads"):
        fault_of_entry({**ENTRY, "table": "visits"}, [ORDERS])


def test_a_ledger_that_is_not_there_is_refused(tmp_path):
    """No ledger is not "nothing planted"."""
    with pytest.raises(CommandError, match=r"ledger\.json"):
        read_ledger(tmp_path / "ledger.json", FakeDesk(tmp_path).open(None))


def test_the_source_is_known_by_the_contracts_relation():
    """No table's name stands in code."""
    assert isinstance(ORDERS.source, Source)
    assert "bronze.orders" == planted().table
