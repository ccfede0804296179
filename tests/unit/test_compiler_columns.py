"""Refused: columns, types, keys, classification and masks. Each case is a good lake with one thing wrong."""

import pytest

from tests.unit.compiler_refusals import CHANGES, CUSTOMERS, ORDERS, S_ORDERS, Wrong, assert_refused

WRONG = [
    Wrong("no type", S_ORDERS, ", physicalType: int,", ",", "name: quantity", "'physicalType' is missing", "Spark type"),
    Wrong(
        "foreign type", S_ORDERS, "physicalType: int,", "physicalType: 'varchar(9)',", "varchar", "'varchar(9)' is not a Spark type", "Write string."
    ),
    Wrong("map", S_ORDERS, "physicalType: int,", "physicalType: 'map<string,int>',", "map<", "is not a Spark type", "array<struct"),
    Wrong("decimal", S_ORDERS, "decimal(12,2)", "decimal(40,2)", "decimal(40", "'decimal(40,2)' is not a Spark type", "decimal(p,s)"),
    Wrong(
        "logical type",
        S_ORDERS,
        "integer, physicalType: int",
        "string, physicalType: int",
        "name: quantity",
        "does not go with logicalType string",
        "same",
    ),
    Wrong("unknown logical", S_ORDERS, "logicalType: integer", "logicalType: integr", "integr,", "unknown logicalType 'integr'", "'integer'"),
    Wrong(
        "nested source",
        "bronze/products.yaml",
        "name: category, logicalType: string, physicalType: string",
        "name: category, physicalType: array<string>",
        "name: category",
        "a source column cannot be array<string>",
        "silver SQL",
    ),
    Wrong("column twice", S_ORDERS, "{name: status,", "{ name: currency,", "{ name: currency", "column 'currency' is here twice", "Keep one"),
    Wrong("column name", S_ORDERS, "{name: status,", "{name: _status,", "_status", "'_status' cannot be a column name", "Sluice's own"),
    Wrong(
        "reserved name",
        "bronze/products.yaml",
        "{name: category,",
        "{name: group,",
        "name: group",
        "'group' is a reserved SQL word",
        "view at the source",
    ),
    Wrong(
        "renamed",
        S_ORDERS,
        "{name: status,",
        "{physicalName: s, name: status,",
        "physicalName",
        "'physicalName' of a column is not supported",
        "Name the column",
    ),
    Wrong("no key", S_ORDERS, ", primaryKey: true, primaryKeyPosition: 1", "", "properties:", "silver.orders has no primary key", "primaryKey: true"),
    Wrong(
        "key positions", CHANGES, "primaryKeyPosition: 2", "primaryKeyPosition: 3", "Position: 3", "are not 1 to 2", "Number customer_id, updated_at"
    ),
    Wrong(
        "position alone",
        CHANGES,
        "primaryKey: true, primaryKeyPosition: 2",
        "primaryKeyPosition: 2",
        "name: updated_at",
        "without 'primaryKey: true'",
        "Add",
    ),
    Wrong(
        "partitioned bronze",
        ORDERS,
        "{name: is_deleted,",
        "{partitioned: true, name: is_deleted,",
        "partitioned",
        "bronze is partitioned",
        "silver or gold",
    ),
    Wrong(
        "classification",
        S_ORDERS,
        "{name: status,",
        "{classification: secret, name: status,",
        "secret",
        "unknown classification 'secret'",
        "restricted",
    ),
    Wrong(
        "no mask",
        ORDERS,
        "        customProperties: [{property: sluice, value: {mask: redact}}]\n",
        "",
        "classification: restricted",
        "'shipping_address' is restricted and has no mask",
        "mask: hmac | redact | partial",
    ),
    Wrong("unknown mask", ORDERS, "mask: redact", "mask: redacted", "mask: redacted", "unknown mask 'redacted'", "'redact'"),
    Wrong("key beside mask", ORDERS, "{mask: redact}", "{mask: redact, salt: a}", "salt", "unknown key 'salt' in a column's sluice block", "mask"),
    Wrong(
        "mask on a number",
        "bronze/products.yaml",
        "{name: price,",
        "{classification: restricted, customProperties: [{property: sluice, value: {mask: hmac}}], name: price,",
        "name: price",
        "a mask is for strings, and 'price' is decimal(12,2)",
        "Declare it as string",
    ),
    Wrong(
        "mask without class",
        ORDERS,
        "        classification: restricted\n",
        "",
        "mask: redact",
        "masked and not classified",
        "classification: restricted",
    ),
    Wrong(
        "mask above bronze",
        CHANGES,
        "name: tier,",
        "customProperties: [{property: sluice, value: {mask: hmac}}], name: tier,",
        "name: tier",
        "a mask above bronze",
        "in bronze",
    ),
    Wrong(
        "redacted key",
        CUSTOMERS,
        "{name: customer_id,",
        "{classification: restricted, customProperties: [{property: sluice, value: {mask: redact}}], name: customer_id,",
        "name: customer_id",
        "makes different keys 'customer_id' equal",
        "hmac",
    ),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.file}: {wrong.name}")
def test_it_is_refused_with_its_place_and_its_fix(wrong, tmp_path):
    """A reader who knows nothing of the compiler finds the line, and what to write there."""
    assert_refused(wrong, tmp_path)
