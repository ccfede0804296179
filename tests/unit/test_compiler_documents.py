"""Refused: a file that is no contract, or says what contracts do not have. Each case is a good lake with one thing wrong."""

import pytest

from tests.unit.compiler_refusals import CHANGES, ORDERS, S_ORDERS, Wrong, assert_refused

WRONG = [
    Wrong("not yaml", S_ORDERS, "schema:", "schema: [", "- name: orders", "this is not YAML", "Mend"),
    Wrong("empty", "silver/empty.yaml", None, "# nothing\n", 1, "the file is empty", "contract"),
    Wrong("not a mapping", "silver/list.yaml", None, "- a\n", 1, "a contract is a mapping", "apiVersion"),
    Wrong(
        "key twice", S_ORDERS, "domain: sales", "domain: sales\ndomain: b", "domain: b", "key 'domain' is here twice (first on line 8)", "Keep one"
    ),
    Wrong(
        "key of another tool",
        S_ORDERS,
        "domain: sales",
        "domian: sales",
        "domian",
        "unknown key 'domian' in a data contract",
        "Did you mean 'domain'?",
    ),
    Wrong("key of a column", ORDERS, "required: true, primaryKey", "requird: true, primaryKey", "requird", "unknown key 'requird'", "'required'"),
    Wrong("type of a value", ORDERS, "port: 5432", "port: [5432]", "port: [5432]", "'port' cannot be a list", "from 1 to 65,535"),
    Wrong("shape", S_ORDERS, "team:\n  name: sales-data", "team:\n  name: 7", "name: 7", "'name' must be text, not 7", "quotes"),
    Wrong("shape by the model", S_ORDERS, "domain: sales", "domain: sales\ntags: yes-no", "tags:", "not ODCS: input should be a valid list", "v3.1"),
    Wrong("not finite", ORDERS, "share: 0.05", "share: .nan", "share: .nan", ".nan is not a number one can compare with", "finite"),
    Wrong("other version", S_ORDERS, "apiVersion: v3.1.0", "apiVersion: v2.2.2", "apiVersion", "apiVersion v2.2.2 is not read here", "v3.1.0"),
    Wrong("other kind", S_ORDERS, "kind: DataContract", "kind: DataProduct", "kind:", "kind 'DataProduct'", "kind: DataContract"),
    Wrong("other id", S_ORDERS, "id: silver.orders", "id: silver.order", "id:", "id 'silver.order' is not this file's table", "id: silver.orders"),
    Wrong("id of another", S_ORDERS, "id: silver.orders", "id: bronze.orders", "id:", "is also the id of", "id: silver.orders"),
    Wrong("no title", S_ORDERS, "name: Orders\n", "", "apiVersion", "'name' is missing", "few words"),
    Wrong("no version", S_ORDERS, "version: 1.0.0\n", "", "apiVersion", "'version' is missing", "1.0.0"),
    Wrong("no owner", CHANGES, "domain: sales\n", "", "apiVersion", "nobody owns this table", "team"),
    Wrong("two schemas", S_ORDERS, "customProperties:\n", "  - name: b\ncustomProperties:\n", "- name: b", "here are 2", "Keep one element"),
    Wrong("schema's name", S_ORDERS, "  - name: orders", "  - name: order", "  - name: order", "called 'order'", "name: orders"),
    Wrong("no sluice", S_ORDERS, "property: sluice", "property: other", "customProperties:", "does not say how the table is loaded", "load"),
    Wrong("sluice misspelt", S_ORDERS, "property: sluice", "property: sluce", "sluce", "unknown custom property 'sluce'", "'sluice'"),
    Wrong(
        "sluice twice",
        CHANGES,
        "customProperties:",
        "customProperties:\n  - {property: sluice, value: {load: log}}",
        "from: bronze",
        "a second",
        "first",
    ),
    Wrong("unknown layer", "sliver/a.yaml", None, "a: 1\n", 1, "'sliver' is not a layer", "Did you mean 'silver'?", "sliver"),
    Wrong("yml", "silver/a.yml", None, "a: 1\n", 1, "'a.yml' has no part in the lake", "Rename it to a.yaml"),
    Wrong("sql without table", "gold/fact_sale.sql", None, "SELECT 1", 1, "there is no fact_sale.yaml", "'fact_sales'"),
    Wrong("sql that nothing runs", "silver/orders.sql", None, "SELECT 1", 1, "loaded by 'merge', which runs no such SQL", "Delete the file"),
    Wrong("affected of replace", "gold/dim_date.affected.sql", None, "SELECT 1", 1, "loaded by 'replace'", "load: derive"),
    Wrong("no sql", "gold/dim_date.sql", "-", None, "load: replace", "needs dim_date.sql", "Write it", "gold/dim_date.yaml"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.file}: {wrong.name}")
def test_it_is_refused_with_its_place_and_its_fix(wrong, tmp_path):
    """A reader who knows nothing of the compiler finds the line, and what to write there."""
    assert_refused(wrong, tmp_path)
