"""Servers of every type, parallel reads and the contract's word on widening, as lake.json has them."""

import json

import jsonschema
import pytest
from ruamel.yaml import YAML

from compiler import compile_lake
from compiler.odcs import json_schema
from shared.spec.lake import Parallel
from tests.unit.compiler_refusals import ORDERS, TOML, Wrong, assert_refused, copied, edit

PROD = "{server: shop, type: postgres, environment: prod, host: shop.example.com, port: 5432, database: shop, schema: sales}"


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("type: redshift, environment: prod, host: dwh.example.com, database: dev, schema: sales", ("dwh.example.com", 5439, None, None)),
        (
            "type: snowflake, environment: prod, account: My_Org-Acc1, database: SHOP, schema: SALES, warehouse: LAKE",
            ("my-org-acc1.snowflakecomputing.com", 443, "My_Org-Acc1", "LAKE"),
        ),
        (
            "type: snowflake, environment: prod, account: acc, host: acc.privatelink.example.com, port: 8443, database: S, schema: P, warehouse: W",
            ("acc.privatelink.example.com", 8443, "acc", "W"),
        ),
    ],
)
def test_a_server_of_each_type_says_where_it_is(tmp_path, written, place):
    """What the service itself fixes (host by account, port) need not be written; what is written stays, and is ODCS."""
    lake = copied(tmp_path)
    edit(lake / ORDERS, PROD, f"{{server: warehouse, {written}}}")
    edit(lake / TOML, 'shop = "sluice/prod/shop"', 'shop = "sluice/prod/shop", warehouse = "sluice/prod/warehouse"')

    source = compile_lake(lake).table("bronze.orders").source

    (server,) = [server for server in source.servers if server.environment == "prod"]
    assert place == (server.host, server.port, server.account, server.warehouse)
    jsonschema.validate(json.loads(json.dumps(YAML(typ="safe").load(lake / ORDERS))), json_schema())


def test_parallel_reads_and_widening_are_the_contracts_own_words(tmp_path):
    """Without a word a window is read by one connection, and a wider source halts."""
    lake = copied(tmp_path)
    silent = compile_lake(lake).table("bronze.orders").source
    edit(lake / ORDERS, "load: append", "parallel: {column: updated_at, parts: 8}\n      widening: accept\n      load: append")

    told = compile_lake(lake).table("bronze.orders").source

    assert (None, "refuse") == (silent.parallel, silent.widening)
    assert (Parallel(column="updated_at", parts=8), "accept") == (told.parallel, told.widening)


def test_one_name_is_one_kind_of_server(tmp_path):
    """Two kinds under one name would share one secret, and whatever is asked by name, as a laptop's stand-in, would be the wrong one for a table."""
    warehouse = "{server: shop, type: redshift, environment: prod, host: dwh.example.com, database: dev, schema: sales}"
    message = "server 'shop' of environment 'prod' is of type redshift here and postgres in"

    assert_refused(Wrong("type", ORDERS, PROD, warehouse, warehouse, message, "Name the two differently"), tmp_path)
