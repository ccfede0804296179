"""Two versions of a lake: every change is found, weighed, given its version, and followed downstream."""

from dataclasses import replace
from fractions import Fraction
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from compiler import compile_lake
from compiler.diff import compare_lakes, least_version, says
from compiler.diff_rules import compare_rules
from compiler.diff_tables import changes_of
from shared.core.verdict import within
from shared.spec.lake import Limit, Rule
from tests.unit.compiler_refusals import CUSTOMERS, DIM, FACT, FACT_AFFECTED, FACT_SQL, GOOD, ORDERS, S_ORDERS, TOML, copied, edit

PRODUCTS, S_PRODUCTS, DIM_PRODUCT, DIM_PRODUCT_SQL = "bronze/products.yaml", "silver/products.yaml", "gold/dim_product.yaml", "gold/dim_product.sql"
NOTE = "      - {name: note, logicalType: string, physicalType: string%s}\n"
UPDATED = "      - {name: updated_at,"


@cache
def good_lake():
    return compile_lake(GOOD)


@pytest.fixture
def good():
    return good_lake()


def after(tmp_path, *edits):
    lake = copied(tmp_path)
    for file, old, new in edits:
        edit(lake / file, old, new)
    return compile_lake(lake)


def found(good, lake):
    """(table, weight, what) of every change."""
    return {(item.table, reached.change.weight, reached.change.what) for item in compare_lakes(good, lake) for reached in item.changes}


def edited_table(good, name, **changes):
    return replace(good, tables=tuple(replace(table, **changes) if table.name == name else table for table in good.tables))


def test_a_role_that_is_shut_out_breaks(good):
    """Somebody's query answers tomorrow with a refusal."""
    opened = edited_table(good, "gold.fact_sales", readers=("analyst",))

    assert {("gold.fact_sales", BREAKING, "role 'analyst' taken away")} == found(opened, good)
    assert {("gold.fact_sales", WORDS, "domain changed")} == found(good, edited_table(good, "gold.fact_sales", domain="trade"))


def with_note(name, required=""):
    """An edit that gives a contract a column more, before its last one."""
    return name, UPDATED, NOTE % required + UPDATED


STRING = "logicalType: string, physicalType: string"
INT = "logicalType: integer, physicalType: int"
AMOUNT = "physicalType: 'decimal(12,2)', required: true, logicalTypeOptions: {minimum: %s}}"
TITLE, CATEGORY = (f"      - {{name: {name}, {STRING}, required: true}}\n" for name in ("title", "category"))
DATE_ONCE = "      - {id: date_once, metric: duplicateValues, arguments: {properties: [date]}, mustBe: 0}\n"
TO_PRODUCT = ", relationships: [{type: foreignKey, to: dim_product.product_sk}]"
FEW = "quality:\n      - {id: few, metric: rowCount, mustBeLessThan: 10%s}\n"
POSITION = "primaryKeyPosition: "
RATES = "bronze/fx_rates.yaml"

BREAKING, COMPATIBLE, WORDS = "breaking", "compatible", "words"
EDITS = {
    "a required column": ([with_note(PRODUCTS, ", required: true")], ("bronze.products", BREAKING, "required column 'note' string added")),
    "an optional column": ([with_note(PRODUCTS)], ("bronze.products", COMPATIBLE, "column 'note' string added")),
    "a column dropped": (
        [(PRODUCTS, CATEGORY, "")]
        + [(S_PRODUCTS, CATEGORY, "")]
        + [(DIM_PRODUCT, CATEGORY, "")]
        + [(DIM_PRODUCT_SQL, "p.category, ", ""), (DIM_PRODUCT_SQL, "'Unknown product', 'unknown', ", "'Unknown product', ")],
        ("gold.dim_product", BREAKING, "column 'category' removed"),
    ),
    "a column retyped": (
        [(FACT, f"{{name: quantity, {INT}", "{name: quantity, logicalType: number, physicalType: double")]
        + [(FACT_SQL, "o.quantity,", "cast(o.quantity AS double) AS quantity,")],
        ("gold.fact_sales", BREAKING, "column 'quantity' retyped"),
    ),
    "a column widened": (
        [(FACT, f"{{name: quantity, {INT}", "{name: quantity, logicalType: integer, physicalType: bigint")]
        + [(FACT_SQL, "o.quantity,", "cast(o.quantity AS bigint) AS quantity,")],
        ("gold.fact_sales", COMPATIBLE, "column 'quantity' widened"),
    ),
    "a column required": (
        [(DIM_PRODUCT, f"{{name: currency, {STRING}}}", f"{{name: currency, {STRING}, required: true}}")],
        ("gold.dim_product", BREAKING, "column 'currency' made required"),
    ),
    "a column optional": (
        [(DIM_PRODUCT, f"{{name: title, {STRING}, required: true}}", f"{{name: title, {STRING}}}")],
        ("gold.dim_product", BREAKING, "column 'title' made optional"),
    ),
    "columns moved": (
        [(DIM_PRODUCT, TITLE, ""), (DIM_PRODUCT, "      - {name: price,", TITLE + "      - {name: price,")],
        ("gold.dim_product", COMPATIBLE, "columns stand in another order"),
    ),
    "a role let in": (
        [(FACT, "domain: sales", "roles: [{role: analyst}]\ndomain: sales")],
        ("gold.fact_sales", COMPATIBLE, "opened to role 'analyst'"),
    ),
    "another mask": ([(CUSTOMERS, "mask: hmac", "mask: redact")], ("bronze.customers", BREAKING, "column 'email' masked otherwise")),
    "classified higher": (
        [(DIM_PRODUCT, "{name: price, logicalType: number,", "{name: price, classification: confidential, logicalType: number,")],
        ("gold.dim_product", BREAKING, "column 'price' classified otherwise"),
    ),
    "another key": (
        [(RATES, POSITION + "1", POSITION + "3"), (RATES, POSITION + "2", POSITION + "1"), (RATES, POSITION + "3", POSITION + "2")],
        ("bronze.fx_rates", BREAKING, "primary key changed"),
    ),
    "another source": ([(PRODUCTS, "source: sales.products", "source: sales.goods")], ("bronze.products", BREAKING, "source: relation changed")),
    "a longer lag": (
        [(PRODUCTS, "safety_lag: 5m", "safety_lag: 6m")],
        ("bronze.products", COMPATIBLE, "source: watermark.safety_lag_seconds changed"),
    ),
    "wider types let in": (
        [(PRODUCTS, "load: append", "load: append\n      widening: accept")],
        ("bronze.products", COMPATIBLE, "source: widening changed"),
    ),
    "another warehouse": (
        [
            (TOML, 'shop = "sluice/prod/shop"', 'shop = "sluice/prod/shop", flake = "sluice/prod/flake"'),
            (PRODUCTS, "shop, type: postgres, environment: prod", "flake, type: snowflake, account: a, warehouse: w, environment: prod"),
        ],
        ("bronze.products", COMPATIBLE, "source: servers.prod changed"),
    ),
    "another host": ([(PRODUCTS, "host: shop.example.com", "host: db.example.com")], ("bronze.products", COMPATIBLE, "source: servers.prod changed")),
    "less tolerance": ([(PRODUCTS, "rows: 20", "rows: 19")], ("bronze.products", BREAKING, "reject_tolerance.rows tightened")),
    "more tolerance": ([(PRODUCTS, "share: 0.01", "share: 0.02")], ("bronze.products", COMPATIBLE, "reject_tolerance.share loosened")),
    "another delete": (
        [(S_PRODUCTS, "delete_when: is_deleted", "delete_when: is_deleted OR price < 0")],
        ("silver.products", BREAKING, "delete_when changed"),
    ),
    "another tracked column": ([(DIM, "tracked: [", "tracked: [email, ")], ("gold.dim_customer", BREAKING, "tracked columns changed")),
    "other SQL": (
        [(FACT_SQL, "date_sub(cast(o.ordered_at AS date), 7)", "date_sub(cast(o.ordered_at AS date), 8)")],
        ("gold.fact_sales", COMPATIBLE, "SQL changed"),
    ),
    "other lineage": (
        [(FACT_SQL, "o.quantity,", "cast(o.amount AS int) AS quantity,")],
        ("gold.fact_sales", COMPATIBLE, "column 'quantity' computed from other columns"),
    ),
    "a comment": ([(FACT_SQL, "SELECT", "-- said\nSELECT")], ("gold.fact_sales", WORDS, "comments or layout of its SQL changed")),
    "other affected SQL": ([(FACT_AFFECTED, "SELECT", "SELECT DISTINCT")], ("gold.fact_sales", WORDS, "its affected SQL changed")),
    "a title": ([(DIM, "name: Customers", "name: Buyers")], ("gold.dim_customer", WORDS, "title changed")),
    "a rule added": ([(S_ORDERS, "quality:\n", FEW % "")], ("silver.orders", BREAKING, "rule 'few' added")),
    "a warning added": ([(S_ORDERS, "quality:\n", FEW % ", severity: warning")], ("silver.orders", COMPATIBLE, "rule 'few' added")),
    "a rule renamed": (
        [("gold/dim_date.yaml", "id: every_day", "id: each_day")],
        ("gold.dim_date", COMPATIBLE, "rule 'every_day' is called 'each_day'"),
    ),
    "a rule removed": ([("gold/dim_date.yaml", DATE_ONCE, "")], ("gold.dim_date", COMPATIBLE, "rule 'date_once' removed")),
    "a relationship gone": ([(FACT, TO_PRODUCT, "")], ("gold.fact_sales", COMPATIBLE, "rule 'product_sk.relationship' removed")),
    "another pattern": ([(CUSTOMERS, r"^C\d{9}$", r"^C\d+$")], ("bronze.customers", BREAKING, "rule 'customer_id.pattern' changed")),
    "a warning tightened": (
        [(ORDERS, "mostly: 0.99", "mostly: 0.999")],
        ("bronze.orders", COMPATIBLE, "rule 'not_updated_before_ordered' tightened"),
    ),
    "partitions": (
        [(FACT, f"{{name: date_sk, {INT},", f"{{name: date_sk, {INT}, partitioned: true, partitionKeyPosition: 2,")],
        ("gold.fact_sales", BREAKING, "partitions changed"),
    ),
}


# What comes along: SQL that was edited with its columns, and readers that had to follow.
FOLLOWING = {
    "a column dropped": {
        ("bronze.products", BREAKING, "column 'category' removed"),
        ("silver.products", BREAKING, "column 'category' removed"),
        ("gold.dim_product", COMPATIBLE, "SQL changed"),
    },
    "a column retyped": {("gold.fact_sales", COMPATIBLE, "SQL changed")},
    "a column widened": {("gold.fact_sales", COMPATIBLE, "SQL changed")},
    "other lineage": {("gold.fact_sales", COMPATIBLE, "SQL changed")},
}


def together():
    """The edits in as few lakes as touch no file twice: compiling one is most of a test's time."""
    batches = []
    for name, (edits, _) in EDITS.items():
        files = {file.split(".")[0] for file, _, _ in edits}
        batch = next((batch for batch in batches if not files & batch["files"]), None)
        if batch is None:
            batches.append(batch := {"files": set(), "names": []})
        batch["files"] |= files
        batch["names"].append(name)
    return [batch["names"] for batch in batches]


@pytest.mark.parametrize("names", together(), ids=", ".join)
def test_every_change_is_found_and_weighed_and_nothing_else(good, tmp_path, names):
    """A reader learns of what breaks, and is not woken by what does not."""
    lake = after(tmp_path, *(edit for name in names for edit in EDITS[name][0]))

    assert {EDITS[name][1] for name in names}.union(*(FOLLOWING.get(name, ()) for name in names)) == found(good, lake)


def test_a_lake_does_not_differ_from_itself(good):
    """Quiet in CI."""
    assert () == compare_lakes(good, good)


def test_a_rename_is_a_removal_and_an_addition_with_a_hint(good, tmp_path):
    """No engine here renames a column: readers must follow."""
    lake = after(
        tmp_path,
        (PRODUCTS, "{name: category,", "{name: categories,"),
        (S_PRODUCTS, "{name: category,", "{name: categories,"),
        (DIM_PRODUCT_SQL, "p.category", "p.categories AS category"),
    )

    hints = {(item.table, reached.change.what): reached.change.why for item in compare_lakes(good, lake) for reached in item.changes}

    assert "looks renamed to 'categories'" in hints["silver.products", "column 'category' removed"]
    assert ("silver.products", "column 'categories' string added") not in hints, "a required column of a copy"
    assert ("silver.products", "required column 'categories' string added") in hints


def test_a_change_is_followed_through_every_table_by_lineage(good, tmp_path):
    """Of an amount judged otherwise in bronze: silver's amount and gold's dollars, and nothing beside them."""
    lake = after(tmp_path, (ORDERS, AMOUNT % 0, AMOUNT % 1))

    (item,) = compare_lakes(good, lake)

    assert ("gold.fact_sales.amount_usd", "silver.orders.amount") == item.changes[0].columns
    assert ("gold.fact_sales", "silver.orders") == item.readers


def test_what_a_column_that_is_gone_reached_is_read_off_the_old_lake(good, tmp_path):
    """The new lake does not know it any more."""
    edits, _ = EDITS["a column dropped"]

    gone = {item.table: item.changes[0].columns for item in compare_lakes(good, after(tmp_path, *edits))}

    assert ("gold.dim_product.category", "silver.products.category") == gone["bronze.products"]


def test_a_table_that_is_gone_is_breaking_and_a_new_one_is_not(good):
    """A table that is gone has no version to say so."""
    fewer = replace(good, tables=tuple(table for table in good.tables if table.name != "gold.fact_sales"))

    (gone,), (came,) = compare_lakes(good, fewer), compare_lakes(fewer, good)

    assert (True, None, "1.0.0") == (gone.breaks, gone.after, gone.before)
    assert (False, True) == (came.breaks, came.met)


def test_a_table_under_another_name_is_told_as_one(good):
    """The hint; to readers it is a removal and an addition."""
    moved = replace(good, tables=tuple(replace(t, name="gold.sales") if t.name == "gold.fact_sales" else t for t in good.tables))

    gone = next(item for item in compare_lakes(good, moved) if item.after is None)

    assert "looks renamed to gold.sales" in gone.changes[0].change.why


@pytest.mark.parametrize(
    ("edited", "version", "needs", "met"),
    [
        ("a rule added", "1.0.0", "2.0.0", False),
        ("a rule added", "1.9.0", "2.0.0", False),
        ("a rule added", "2.0.0", "2.0.0", True),
        ("a warning added", "1.0.1", "1.1.0", False),
        ("a warning added", "1.1.0", "1.1.0", True),
        ("a warning added", "3.0.0", "1.1.0", True),
        ("a warning added", "0.9.9", "1.1.0", False),
        ("a rule added", "two", "2.0.0", False),
    ],
)
def test_a_change_asks_for_its_version(good, edited, version, needs, met):
    """Major for breaking, minor for compatible; more is fine, going back is not."""
    severity = "warning" if edited == "a warning added" else "critical"
    rule = made("expect_table_row_count_to_be_between", "table", severity, max_value=10)

    (item,) = compare_lakes(good, edited_table(good, "silver.orders", version=version, rules=(*good.table("silver.orders").rules, rule)))

    assert (needs, met) == (item.needs, item.met)
    assert item.breaks == (edited == "a rule added" and not met)


def test_a_version_that_moves_alone_is_no_change(good):
    """It may grow, and not go back."""
    grown = compare_lakes(good, edited_table(good, "silver.orders", version="1.0.1"))
    back = compare_lakes(good, edited_table(good, "silver.orders", version="0.1.0"))

    assert [((), True), ((), False)] == [(item.changes, item.met) for item in (*grown, *back)]


@settings(deadline=None)  # a laptop that is busy is not a failure
@given(old=st.tuples(*[st.integers(0, 3)] * 3), new=st.tuples(*[st.integers(0, 3)] * 3))
def test_a_version_says_a_weight_exactly_when_it_is_not_before_the_least_one(old, new):
    """Two ways to count: by the number that moved, and by order."""
    before, following = (".".join(map(str, version)) for version in (old, new))

    for weight in (WORDS, COMPATIBLE, BREAKING):
        least = tuple(map(int, least_version(before, weight).split(".")))
        assert (new >= least) == says(before, following, weight)


def test_what_this_comparison_does_not_know_is_taken_as_breaking(good):
    """A contract may learn a word before the comparison does."""
    old = good.table("silver.orders")
    new = replace(old, inputs=("bronze.orders", "bronze.unheard"))

    assert ["the contract changed"] == [change.what for change in changes_of(old, new)]


def test_other_spelling_of_the_same_rule_is_no_change(good, tmp_path):
    """More than 0 and at least 1 is one thing for whole numbers; the order of values, and white space in a condition, mean nothing."""
    lake = after(
        tmp_path,
        (ORDERS, "logicalTypeOptions: {minimum: 1}", "logicalTypeOptions: {exclusiveMinimum: 0}"),
        (ORDERS, "validValues: [USD, EUR, GBP]", "validValues: [GBP, USD, EUR]"),
        (ORDERS, "condition: updated_at >= ordered_at", "condition: updated_at  >=  ordered_at"),
    )

    assert set() == found(good, lake)


# ---- rules, against a plain reading of what they mean

NUMBERS = [Fraction(n, 8) for n in range(-24, 25)]  # between two bounds there is always one


def made(expectation, kind="row", severity="critical", mostly=1.0, limit=None, written=False, **kwargs):
    return Rule(
        id="r",
        kind=kind,
        expectation=expectation,
        kwargs=kwargs,
        element=kwargs.get("column"),
        severity=severity,
        mostly=mostly,
        limit=limit,
        tolerance_written=written,
    )


def expected(old, new, everything):
    """The relation by looking at every number."""
    had, has = ({number for number in everything if rule(number)} for rule in (old, new))
    return "same" if had == has else "looser" if had < has else "tighter" if has < had else "other"


BOUNDS = st.fixed_dictionaries(
    {},
    optional={
        "min_value": st.sampled_from([-2, -0.5, 0, 0.25, 1]),
        "max_value": st.sampled_from([0.75, 1, 1.5, 2]),
        "strict_min": st.just(True),
        "strict_max": st.just(True),
    },
)


def between(kwargs):
    low, high = kwargs.get("min_value"), kwargs.get("max_value")

    def holds(number):
        above = low is None or (number > low if kwargs.get("strict_min") else number >= low)
        return above and (high is None or (number < high if kwargs.get("strict_max") else number <= high))

    return holds


@settings(deadline=None)
@given(kind=st.sampled_from(["int", "decimal(4,1)", "double"]), old=BOUNDS, new=BOUNDS)
def test_bounds_compare_as_the_values_they_admit(kind, old, new):
    """Whole numbers, tenths and quarters each by what can occur between two bounds."""
    table = good_lake().table("silver.orders")
    table = replace(table, columns=tuple(replace(column, type=kind) if column.name == "quantity" else column for column in table.columns))
    occurring = {"int": range(-4, 5), "decimal(4,1)": [Fraction(n, 10) for n in range(-30, 31)], "double": NUMBERS}[kind]
    rules = [made("expect_column_values_to_be_between", column="quantity", **kwargs) for kwargs in (old, new)]

    compared = compare_rules(*rules, table, table).relation

    assert expected(between(old), between(new), occurring) == compared


ALL_BUT_A_HALF = Limit(unit="rows", low=2.5, high=2.5, low_open=False, high_open=False, negated=True)  # no count is left out
LIMITS = st.builds(
    lambda a, b, kind, negated, unit: Limit(
        unit=unit,
        low=None if kind == "below" else min(a, b),
        high=None if kind == "above" else max(a, b),
        low_open=kind == "above" and a > 2,
        high_open=kind == "below" and a > 2,
        negated=negated and kind == "between",
    ),
    st.sampled_from([0.0, 0.5, 1.0, 2.5, 3.0, 5.0]),
    st.sampled_from([0.0, 0.5, 1.0, 2.5, 3.0, 5.0]),
    st.sampled_from(["below", "above", "between"]),
    st.booleans(),
    st.just("rows"),
)


@settings(deadline=None)
@example(old=ALL_BUT_A_HALF, new=replace(ALL_BUT_A_HALF, low=0.0, high=None, negated=False), percent=False, kind="row")
@given(old=LIMITS, new=LIMITS, percent=st.booleans(), kind=st.sampled_from(["row", "table"]))
def test_comparisons_compare_as_the_counts_at_which_the_gate_lets_pass(old, new, percent, kind):
    """`within` is what the gate asks; counts are whole, shares are not."""
    table = good_lake().table("silver.orders")
    unit, measured = ("percent", [n / 8 for n in range(801)]) if percent and kind == "row" else ("rows", range(12))
    limits = [replace(limit, unit=unit) for limit in (old, new)]
    expectation = "expect_table_row_count_to_be_between" if kind == "table" else "expect_column_values_to_not_be_null"
    rules = [made(expectation, kind, limit=limit, **({} if kind == "table" else {"column": "quantity"})) for limit in limits]

    compared = compare_rules(*rules, table, table).relation

    assert expected(*((lambda n, of=limit: within(of, float(n))) for limit in limits), measured) == compared


@pytest.mark.parametrize(
    ("old", "new", "relation"),
    [
        ({"mostly": 0.9, "written": True}, {"mostly": 0.95, "written": True}, "tighter"),
        ({"mostly": 0.95, "written": True}, {"mostly": 0.9, "written": True}, "looser"),
        ({}, {"mostly": 0.99, "written": True}, "tighter"),
        ({"mostly": 0.99, "written": True}, {}, "looser"),
        ({}, {"severity": "warning"}, "looser"),
        ({"severity": "warning", "mostly": 0.5}, {"severity": "critical", "mostly": 0.9, "written": True}, "tighter"),
        ({"severity": "warning", "mostly": 0.9}, {"mostly": 0.5, "written": True}, "tighter"),
    ],
)
def test_in_bronze_a_critical_row_rule_halts_only_by_what_is_written(good, old, new, relation):
    """Its rows go to the rejects anyway: writing a mostly makes it stricter, not looser."""
    table = good.table("bronze.orders")
    rules = [made("expect_column_values_to_not_be_null", column="quantity", **part) for part in (old, new)]

    assert relation == compare_rules(*rules, table, table).relation


@pytest.mark.parametrize(
    ("old", "new", "relation"),
    [
        (made("expect_column_values_to_be_in_set", column="status", value_set=["a"]), ["a", "b"], "looser"),
        (made("expect_column_values_to_be_in_set", column="status", value_set=["a", "b"]), ["b"], "tighter"),
        (made("expect_column_values_to_be_in_set", column="status", value_set=["a", "b"]), ["b", "c"], "other"),
        (made("expect_column_values_to_be_in_set", column="status", value_set=["1"]), [1], "other"),
    ],
)
def test_value_sets_compare_as_sets(good, old, new, relation):
    """A text and a number are two values."""
    table = good.table("silver.orders")

    assert relation == compare_rules(old, replace(old, kwargs={**old.kwargs, "value_set": new}), table, table).relation


def test_more_columns_are_a_looser_key_only_where_one_of_the_old_ones_is_never_null(good):
    """Rows of which all are NULL are not looked at: with one more column they may be."""
    table = good.table("silver.orders")
    nullable = replace(table, columns=tuple(replace(column, required=False) for column in table.columns))
    narrow, wide = (
        made("expect_compound_columns_to_be_unique", "unique", column_list=names)
        for names in (["order_id", "status"], ["order_id", "status", "currency"])
    )

    assert ["looser", "other", "tighter"] == [
        compare_rules(narrow, wide, table, table).relation,
        compare_rules(narrow, wide, nullable, nullable).relation,
        compare_rules(wide, narrow, table, table).relation,
    ]


def test_times_compare_as_instants(good):
    """Whatever zone they are written in."""
    table = good.table("silver.orders")
    berlin, utc, later = ("2024-01-01T01:00:00+01:00", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00.000001Z")
    rules = [made("expect_column_values_to_be_between", column="ordered_at", min_value=at) for at in (berlin, utc, later)]
    open_one = made("expect_column_values_to_be_between", column="ordered_at", min_value=utc, strict_min=True)

    assert "same" == compare_rules(rules[0], rules[1], table, table).relation
    assert "tighter" == compare_rules(rules[1], rules[2], table, table).relation
    assert "same" == compare_rules(rules[2], open_one, table, table).relation
