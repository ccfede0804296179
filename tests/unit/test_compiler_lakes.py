"""What a compiled lake holds: rules, lineage, order, hashes; and that every lake of this repository compiles."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from compiler import compile_lake
from compiler.check import main, schema_problems
from compiler.sql import normalised
from shared.spec.lake import Lake, Limit, Table, lake_text, read_lake
from tests.unit.compiler_refusals import CHANGES, CUSTOMERS, DIM, FACT, FACT_AFFECTED, FACT_SQL, GOOD, ORDERS, S_ORDERS, copied, edit

ROOT = Path(__file__).parents[2]
LAKES = [ROOT / "lake", GOOD, *sorted(path for path in (ROOT / "tests" / "lakes").iterdir() if path.is_dir())]


@pytest.fixture(scope="module")
def good() -> Lake:
    return compile_lake(GOOD)


@pytest.mark.parametrize("folder", LAKES, ids=lambda folder: folder.name)
def test_every_lake_of_this_repository_compiles_and_is_odcs_by_its_own_json_schema(folder):
    """A contract that other ODCS tools refuse is not a contract; one that we refuse is not a lake."""
    assert () == schema_problems(folder)
    assert 0 == main([str(folder)])


@pytest.mark.parametrize("folder", LAKES, ids=lambda folder: folder.name)
def test_lake_json_reads_back_as_the_same_lake(folder):
    """What the jobs read is what the compiler meant, to the last value."""
    lake = compile_lake(folder)

    assert lake == read_lake(lake_text(lake)).lake


def test_a_lake_of_another_trade_compiles_by_its_files_alone():
    """Nothing in the compiler knows a shop."""
    lake = compile_lake(ROOT / "tests" / "lakes" / "bikes")

    assert ["bronze.rides", "silver.rides", "gold.station_days"] == [table.name for table in lake.tables]
    assert ("station_id", "ride_date") == lake.table("gold.station_days").key


def test_the_same_files_give_the_same_bytes_wherever_they_lie(tmp_path):
    """A run pins the hash of lake.json: a checkout in another folder must not look like another lake."""
    here = lake_text(compile_lake(Path(shutil.copytree(GOOD, tmp_path / "a" / "lake"))))
    there = lake_text(compile_lake(Path(shutil.copytree(GOOD, tmp_path / "b" / "lake"))))

    assert here == there


def test_tables_stand_after_what_they_need(good):
    """Stages run in this order, and a dimension is published before the fact that points at it, read or not."""
    names = [table.name for table in good.tables]

    for table in good.tables:
        needs = {*table.inputs, *(relationship.to_table for relationship in table.relationships)}
        assert all(names.index(need) < names.index(table.name) for need in needs)
    assert "gold.dim_date" not in good.table("gold.fact_sales").inputs


# ---- lineage and classification


def test_lineage_goes_through_ctes_joins_casts_and_aggregates(good):
    """Classification flows along this, so a hop that is lost is a leak."""
    fact = good.table("gold.fact_sales")

    assert ("silver.fx_rates.rate_date", "silver.fx_rates.rate_to_usd", "silver.orders.amount") == fact.column("amount_usd").lineage
    assert ("gold.dim_customer.customer_sk",) == fact.column("customer_sk").lineage
    assert ("silver.orders.ordered_at",) == fact.column("date_sk").lineage


def test_lineage_of_copies_and_histories_goes_by_name(good):
    """merge, log and scd2 take their namesakes; a history's own columns come from its key and its sequence."""
    dim = good.table("gold.dim_customer")

    assert ("bronze.customers.email",) == good.table("silver.customer_changes").column("email").lineage
    assert ("silver.customer_changes.customer_id", "silver.customer_changes.updated_at") == dim.column("customer_sk").lineage
    assert ("silver.customer_changes.updated_at",) == dim.column("valid_to").lineage
    assert () == good.table("bronze.customers").column("email").lineage


def test_lineage_goes_through_unions_and_lateral_views(tmp_path):
    """A union's column comes from each side's column of that place; an exploded one from what was exploded."""
    lake = copied(tmp_path)
    sql, affected = lake / "gold/dim_product.sql", lake / "gold/dim_product.affected.sql"
    edit(sql, "'Unknown product', 'unknown'", "(SELECT max(c.tier) FROM silver.customers AS c), 'unknown'")
    edit(sql, "p.category", "t.word AS category")
    edit(sql, "silver.products AS p", "silver.products AS p LATERAL VIEW explode(split(p.category, ' ')) t AS word")
    edit(affected, "AS p\n", "AS p UNION SELECT cast(0 AS bigint) FROM changed.silver.customers AS c\n")

    dim = compile_lake(lake).table("gold.dim_product")

    assert ("silver.customers.tier", "silver.products.title") == dim.column("title").lineage
    assert ("silver.products.category",) == dim.column("category").lineage


def test_a_public_classification_is_none(tmp_path):
    """`public` in a contract is a statement, not a reason to mask."""
    lake = copied(tmp_path)
    edit(lake / ORDERS, "{name: is_deleted,", "{classification: public, name: is_deleted,")

    assert None is compile_lake(lake).table("bronze.orders").column("is_deleted").classification


# ---- rules


def test_a_source_table_has_the_rules_that_reject_rows(good):
    """These ids are the reasons that rejected rows carry; renaming one is a change of contract."""
    rules = {rule.id: rule for rule in good.table("bronze.orders").rules}

    assert ("row", "expect_column_values_to_not_be_null", {"column": "order_id"}) == shape(rules["order_id.required"])
    assert ("row", "expect_column_values_to_be_of_type", {"column": "quantity", "type_": "int"}) == shape(rules["quantity.type"])
    assert ("row", "expect_column_values_to_match_regex", {"column": "order_id", "regex": r"^O\d{9}$"}) == shape(rules["order_id.pattern"])
    assert ("row", "expect_column_values_to_be_between", {"column": "amount", "min_value": 0}) == shape(rules["amount.range"])
    assert ("row", "expect_column_values_to_be_in_set", {"column": "currency", "value_set": ["USD", "EUR", "GBP"]}) == shape(rules["currency_known"])
    assert ("unique", "expect_column_values_to_be_unique", {"column": "order_id"}) == shape(rules["primary_key"])
    assert ("row", "expect_row", {"condition": "updated_at >= ordered_at"}) == shape(rules["not_updated_before_ordered"])
    assert ("freshness", "freshness", {"column": "updated_at", "max_age_seconds": 86400}) == shape(rules["updated_at.freshness"])
    assert "order_id.type" not in rules  # a string always casts


def test_severities_and_tolerances_are_what_the_contract_wrote(good):
    """Critical and without exception unless written; freshness warns."""
    orders = {rule.id: rule for rule in good.table("bronze.orders").rules}
    emails = next(rule for rule in good.table("bronze.customers").rules if rule.id == "emails_given")

    assert ("critical", 1.0, None, False) == tolerance(orders["order_id.required"])
    assert ("warning", 0.99, None, True) == tolerance(orders["not_updated_before_ordered"])
    assert ("warning", 1.0, None, False) == tolerance(orders["updated_at.freshness"])
    assert ("critical", 1.0, limit("rows", 0, 0), False) == tolerance(orders["currency_known"])
    assert ("warning", 1.0, limit("percent", None, 20), True) == tolerance(emails)


@pytest.mark.parametrize(
    ("comparison", "expected", "kwargs"),
    [
        ("mustBe: 5", {"low": 5, "high": 5}, {"min_value": 5, "max_value": 5}),
        ("mustNotBe: 5", {"low": 5, "high": 5, "negated": True}, {}),
        ("mustBeGreaterThan: 5", {"low": 5, "low_open": True}, {"min_value": 6}),
        ("mustBeGreaterOrEqualTo: 5", {"low": 5}, {"min_value": 5}),
        ("mustBeLessThan: 5", {"high": 5, "high_open": True}, {"max_value": 4}),
        ("mustBeLessOrEqualTo: 5", {"high": 5}, {"max_value": 5}),
        ("mustBeBetween: [5, 7]", {"low": 5, "high": 7}, {"min_value": 5, "max_value": 7}),
        ("mustNotBeBetween: [5, 7]", {"low": 5, "high": 7, "negated": True}, {}),
    ],
)
def test_every_odcs_comparison_of_a_row_count_becomes_a_limit(comparison, expected, kwargs, tmp_path):
    """Open and closed bounds are told apart: `more than 5` is not `5 or more`."""
    lake = copied(tmp_path)
    edit(lake / S_ORDERS, "mustBeGreaterThan: 0", comparison)

    rule = next(rule for rule in compile_lake(lake).table("silver.orders").rules if rule.id == "enough")

    assert replace(limit("rows", None, None), **expected) == rule.limit
    assert ("table", "expect_table_row_count_to_be_between", kwargs) == shape(rule)


def test_great_expectations_keep_their_names_and_keyword_arguments(tmp_path):
    """Whoever knows Great Expectations can read our evidence."""
    lake = copied(tmp_path)
    edit(lake / S_ORDERS, "    quality:\n", f"    quality:\n{EXPECTATIONS}")

    rules = {rule.id: rule for rule in compile_lake(lake).table("silver.orders").rules}

    assert ("row", "expect_column_values_to_not_be_null", {"column": "status"}) == shape(rules["a"])
    assert (0.5, True) == (rules["a"].mostly, rules["a"].tolerance_written)
    assert ("row", "expect_column_values_to_be_between", {"column": "amount", "min_value": 0, "strict_min": True, "max_value": 9.5}) == shape(
        rules["b"]
    )
    assert ("row", "expect_column_value_lengths_to_be_between", {"column": "status", "max_value": 9}) == shape(rules["c"])
    assert ("unique", "expect_compound_columns_to_be_unique", {"column_list": ["order_id", "status"]}) == shape(rules["d"])
    assert ("table", "expect_column_sum_to_be_between", {"column": "amount", "min_value": 1}) == shape(rules["e"])
    assert ("unique", "expect_compound_columns_to_be_unique", {"column_list": ["order_id", "updated_at"]}) == shape(rules["f"])


def great(rule_id: str, kind: str, kwargs: str) -> str:
    return f"""\
      - id: {rule_id}
        type: custom
        engine: greatExpectations
        implementation: {{type: {kind}, kwargs: {kwargs}}}
"""


EXPECTATIONS = "".join(
    [
        great("a", "expect_column_values_to_not_be_null", "{column: status, mostly: 0.5}"),
        great("b", "expect_column_values_to_be_between", "{column: amount, min_value: 0, strict_min: true, max_value: 9.5}"),
        great("c", "expect_column_value_lengths_to_be_between", "{column: status, max_value: 9}"),
        great("d", "expect_compound_columns_to_be_unique", "{column_list: [order_id, status]}"),
        great("e", "expect_column_sum_to_be_between", "{column: amount, min_value: 1}"),
        "      - {id: f, metric: duplicateValues, arguments: {properties: [order_id, updated_at]}, mustBe: 0}\n",
    ]
)


def test_a_history_is_asked_what_no_contract_writes(good):
    """Critical, without exception, and where there is no is_current, nothing of it. A log has no key rule: two states may share their time."""
    rules = {rule.id: rule for rule in good.table("gold.dim_customer").rules if rule.kind == "history"}

    names = ("one_current", "no_overlap", "no_gap_but_after_delete", "neighbours_differ", "unknown_member")
    assert [f"history.{name}" for name in names] == list(rules)
    assert {("critical", 1.0, None, False)} == {tolerance(rule) for rule in rules.values()}
    assert "primary_key" in {rule.id for rule in good.table("gold.dim_customer").rules}
    assert "primary_key" not in {rule.id for rule in good.table("silver.customer_changes").rules}


def test_what_is_made_from_a_log_orders_and_deletes_as_the_log_does(tmp_path):
    """Unless a merge says itself what a delete is."""
    lake = copied(tmp_path)
    edit(lake / "silver/customers.yaml", "      delete_when: is_deleted\n", "")
    edit(lake / CHANGES, "delete_when: is_deleted", "delete_when: is_deleted AND tier = 'gold'")

    after = compile_lake(lake)

    of_log = ("updated_at", "is_deleted AND tier = 'gold'")
    for name in ("silver.customer_changes", "silver.customers", "gold.dim_customer"):
        assert of_log == (after.table(name).sequence, after.table(name).delete_when)


# ---- hashes


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (FACT_SQL, "-- the day's rate, or the last one within the 7 days before", "/* any words */"),
        (FACT_SQL, "SELECT\n  o.order_id,\n", "select o.order_id,   "),
        (FACT, "name: Sales\n", "name: All that was sold\n"),
        (FACT, "domain: sales", "domain: finance"),
        (FACT, "# gold.fact_sales:", "# Rewritten:\n# gold.fact_sales:"),
    ],
)
def test_comments_white_space_titles_and_owners_change_no_hash(file, old, new, good, tmp_path):
    """Nobody pays for a rebuild because a comment got better."""
    lake = copied(tmp_path)
    edit(lake / file, old, new)

    assert hashes(good, "gold.fact_sales") == hashes(compile_lake(lake), "gold.fact_sales")


@pytest.mark.parametrize(
    ("file", "old", "new", "table"),
    [
        (FACT_SQL, "date), 7)", "date), 8)", "gold.fact_sales"),
        (FACT_SQL, "cast(o.amount", "try_cast(o.amount", "gold.fact_sales"),
        (FACT_SQL, "'yyyyMMdd'", "'YYYYMMdd'", "gold.fact_sales"),
        (FACT_SQL, "date_sub(cast(o.ordered_at AS date), 7)", "date_add(cast(o.ordered_at AS date), -7)", "gold.fact_sales"),
        (S_ORDERS, "delete_when: is_deleted", "delete_when: is_deleted OR status = 'cancelled'", "silver.orders"),
        (S_ORDERS, "sequence: updated_at", "sequence: ordered_at", "silver.orders"),
        (DIM, "tracked: [country, tier]", "tracked: [country]", "gold.dim_customer"),
        (CUSTOMERS, "mask: redact", "mask: partial", "bronze.customers"),
        (DIM, "tracked: [country", "first_valid_from: updated_at, tracked: [country", "gold.dim_customer"),
        (ORDERS, "source: sales.orders", "source: sales.orders_v2", "bronze.orders"),
        (FACT, ", partitioned: true, partitionKeyPosition: 1", "", "gold.fact_sales"),
    ],
)
def test_what_decides_the_content_changes_the_definition(file, old, new, table, good, tmp_path):
    """A table whose definition hash stands still is never rebuilt: missing one of these is a wrong table for ever."""
    lake = copied(tmp_path)
    edit(lake / file, old, new)

    after = compile_lake(lake)

    assert good.table(table).definition_hash != after.table(table).definition_hash
    assert good.table(table).contract_hash != after.table(table).contract_hash
    others = {t.name for t in good.tables if t.name != table}
    assert [] == [name for name in others if hashes(good, name) != hashes(after, name)]


@pytest.mark.parametrize(
    ("file", "old", "new", "table"),
    [
        (S_ORDERS, "{minimum: 1, maximum: 1000}", "{minimum: 1, maximum: 999}", "silver.orders"),
        (FACT_AFFECTED, "SELECT order_id FROM", "SELECT DISTINCT order_id FROM", "gold.fact_sales"),
        (FACT, "zorder: [customer_sk]", "zorder: [product_sk]", "gold.fact_sales"),
        (ORDERS, "lookback: 2h", "lookback: 3h", "bronze.orders"),
        (CHANGES, "name: email,", "description: masked, name: email,", None),
    ],
)
def test_what_does_not_decide_the_content_changes_the_contract_alone(file, old, new, table, good, tmp_path):
    """Stricter rules judge the same rows; they do not make other ones."""
    lake = copied(tmp_path)
    edit(lake / file, old, new)

    after = compile_lake(lake)

    assert [t.definition_hash for t in good.tables] == [t.definition_hash for t in after.tables]
    assert ([table] if table else []) == [t.name for t in good.tables if t.contract_hash != after.table(t.name).contract_hash]


def test_texts_and_names_are_not_confused_by_the_hash():
    """A quoted word, a text and a name that read alike are different SQL."""
    written = ["SELECT a b", "SELECT 'a' b", "SELECT `a` b", "SELECT 'a b'", "SELECT a, b", "SELECT 'A' b"]

    assert len(written) == len({normalised(sql) for sql in written})


# ---- the command


def test_check_lists_every_problem_with_its_place_and_exits_with_2(tmp_path):
    """`make check` fails on a contract that ODCS itself would refuse, and says where."""
    lake = copied(tmp_path)
    edit(lake / S_ORDERS, "status: active", "status: [active]")

    done = subprocess.run([sys.executable, "-m", "compiler.check", str(lake)], cwd=ROOT, capture_output=True, text=True)

    assert 2 == done.returncode
    assert f"{lake}/silver/orders.yaml:7: ODCS's JSON schema: ['active'] is not of type 'string'" in done.stderr


def shape(rule) -> tuple:
    return rule.kind, rule.expectation, rule.kwargs


def tolerance(rule) -> tuple:
    return rule.severity, rule.mostly, rule.limit, rule.tolerance_written


def limit(unit, low, high) -> Limit:
    return Limit(unit=unit, low=low, high=high, low_open=False, high_open=False, negated=False)


def hashes(lake: Lake, name: str) -> tuple[str, str]:
    table: Table = lake.table(name)
    return table.contract_hash, table.definition_hash
