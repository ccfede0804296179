"""Counts against Great Expectations itself, on generated data."""

import random
from decimal import Decimal

import pandas as pd
import pytest
from shop import column, rule, table

from shared.core.errors import ContractError
from shared.spark.counting import count_rules

WORDS = ["USD", "EUR", "usd", "", " ", "ünï", "日本語", "😀", "A1", "A12\n", "A\r", "x" * 12, None]
ROW_RULES = [
    ("expect_column_values_to_not_be_null", "word", {}),
    ("expect_column_values_to_be_in_set", "word", {"value_set": ["USD", "EUR", "日本語"]}),
    ("expect_column_values_to_not_be_in_set", "word", {"value_set": ["usd", ""]}),
    ("expect_column_values_to_match_regex", "word", {"regex": r"^[A-Z]+\d*$"}),
    ("expect_column_values_to_not_match_regex", "word", {"regex": "S"}),
    ("expect_column_value_lengths_to_be_between", "word", {"min_value": 1, "max_value": 3}),
    ("expect_column_value_lengths_to_equal", "word", {"value": 3}),
    ("expect_column_values_to_be_between", "number", {"min_value": -3, "max_value": 5}),
    ("expect_column_values_to_be_between", "number", {"min_value": 0, "strict_min": True}),
    ("expect_column_values_to_be_between", "number", {"max_value": 2.5, "strict_max": True}),
    ("expect_column_values_to_be_in_set", "number", {"value_set": [1, 2, 3]}),
    ("expect_column_values_to_be_between", "price", {"min_value": 0.5, "max_value": 7}),
]
UNIQUE_RULES = [
    ("expect_column_values_to_be_unique", {"column": "word"}),
    ("expect_column_values_to_be_unique", {"column": "number"}),
    ("expect_compound_columns_to_be_unique", {"column_list": ["word", "number"]}),
]
TABLE_RULES = [
    ("expect_table_row_count_to_be_between", {"min_value": 1}),
    ("expect_column_mean_to_be_between", {"column": "number", "min_value": 0}),
    ("expect_column_sum_to_be_between", {"column": "price", "min_value": 0}),
]


def contract():
    rules = [rule(name, of, id=f"row{i}", **kwargs) for i, (name, of, kwargs) in enumerate(ROW_RULES)]
    rules += [rule(name, kind="unique", id=f"unique{i}", **kwargs) for i, (name, kwargs) in enumerate(UNIQUE_RULES)]
    rules += [rule(name, kind="table", id=f"table{i}", **kwargs) for i, (name, kwargs) in enumerate(TABLE_RULES)]
    columns = [column("word", key=1), column("number", "double"), column("price", "decimal(10,2)")]
    return table("silver.words", "merge", columns, rules=tuple(rules))


def generated(seed):
    dice = random.Random(seed)
    size = dice.choice((1, 5, 40))
    prices = [None, *(Decimal(f"{dice.randrange(-200, 900)}.{dice.randrange(100):02d}") / 100 for _ in range(8))]
    prices = [price if price is None else price.quantize(Decimal("0.01")) for price in prices]
    return [(dice.choice(WORDS), dice.choice([None, *map(float, range(-5, 8))]), dice.choice(prices)) for _ in range(size)]


@pytest.fixture(scope="module")
def judged():
    """What Great Expectations counts of a frame. Importing it takes seconds, so only the process that asks does."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    whole = context.data_sources.add_pandas("generated").add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")

    def judge(rows):
        frame = pd.DataFrame(rows, columns=["word", "number", "price"]).astype({"word": object, "number": float, "price": object})
        frame["price"] = frame["price"].map(lambda price: None if price is None else float(price)).astype(float)
        batch = whole.get_batch({"dataframe": frame})
        names = [(name, kwargs | {"column": of}) for name, of, kwargs in ROW_RULES] + UNIQUE_RULES + TABLE_RULES
        classes = ["".join(part.capitalize() for part in name.split("_")) for name, _ in names]
        return [batch.validate(getattr(gxe, cls)(**kwargs)).to_json_dict()["result"] for cls, (_, kwargs) in zip(classes, names, strict=True)]

    return judge


@pytest.mark.parametrize("seed", range(6))
def test_counts_are_those_of_great_expectations(spark, judged, seed):
    """NULLs, duplicates, empty texts, other scripts: a verdict here is the verdict there."""
    rows = generated(seed)

    found = count_rules(
        contract(),
        spark.createDataFrame(rows, "word string, number double, price decimal(10,2)").repartition(1),
        related=lambda link: None,
        deletes=lambda: None,
    )

    for ours, theirs in zip(found, judged(rows), strict=True):
        if "element_count" in theirs:
            wanted = (theirs["element_count"], theirs.get("missing_count", 0), theirs["unexpected_count"])
            assert (ours.elements, ours.missing, ours.unexpected) == wanted, ours.rule
        elif theirs["observed_value"] is None:
            assert ours.observed is None
        else:
            assert ours.observed == pytest.approx(theirs["observed_value"]), ours.rule


def test_conditions_pass_where_they_are_null_and_an_empty_table_breaks_nothing(spark):
    """Presence is its own rule; a freshness without a row has no value."""
    rules = (
        rule("expect_row", id="cheap", condition="price < 5 AND number > 0"),
        rule("freshness", "day", id="fresh", kind="freshness", max_age_seconds=60),
    )
    of = table("silver.words", "merge", [column("number", "int"), column("price", "decimal(10,2)"), column("day", "date")], rules=rules)
    kinds = "number int, price decimal(10,2), day date"
    rows = spark.sql(
        "SELECT * FROM VALUES (1, 2.5, DATE'2026-11-01'), (1, 9.5, NULL), (NULL, 1, DATE'2026-11-03'), (-1, NULL, NULL) AS t(number, price, day)"
    )

    cheap, fresh = count_rules(of, rows, related=lambda link: None, deletes=lambda: None)
    none, old = count_rules(of, spark.createDataFrame([], kinds), related=lambda link: None, deletes=lambda: None)

    assert (cheap.elements, cheap.missing, cheap.unexpected) == (4, 1, 2)
    assert (fresh.missing, fresh.observed) == (2, "2026-11-03T00:00:00.000000Z")
    assert (none.elements, none.unexpected, old.observed) == (0, 0, None)


def test_an_unknown_expectation_is_refused_by_name(spark):
    """A rule that nobody counts must not pass."""
    of = table("silver.words", "merge", [column("word")], rules=(rule("expect_column_values_to_be_nice", "word"),))

    with pytest.raises(ContractError, match="expect_column_values_to_be_nice is not a row rule of this engine"):
        count_rules(of, spark.createDataFrame([], "word string"), related=lambda link: None, deletes=lambda: None)
