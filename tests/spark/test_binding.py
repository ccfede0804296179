"""Names in a contract's SQL become views, and nothing else is touched."""

import pytest

from shared.core.errors import ContractError
from shared.spark.binding import bind, mentioned, rewritten

VIEWS = {"silver.orders": "v1", "changed.silver.orders": "v2", "gold.dim": "v3"}


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("SELECT * FROM silver.orders", "SELECT * FROM v1 AS `orders`"),
        ("SELECT * FROM silver.orders o WHERE o.x = 1;", "SELECT * FROM v1 o WHERE o.x = 1"),
        ("SELECT * FROM silver.orders AS o", "SELECT * FROM v1 AS o"),
        ("select x from Silver . Orders where orders.x > 1", "select x from v1 AS `Orders` where orders.x > 1"),
        ("SELECT 1 FROM changed.silver.orders JOIN gold.dim USING (k)", "SELECT 1 FROM v2 AS `orders` JOIN v3 AS `dim` USING (k)"),
        (
            "SELECT 1 FROM silver.orders LEFT JOIN gold.dim d ON d.k = silver.orders.k",
            "SELECT 1 FROM v1 AS `orders` LEFT JOIN v3 d ON d.k = `orders`.`k`",
        ),
        (
            "SELECT 'silver.orders', \"silver.orders\" -- silver.orders\n FROM gold.dim",
            "SELECT 'silver.orders', \"silver.orders\" -- silver.orders\n FROM v3 AS `dim`",
        ),
        (
            "/* gold.dim */ SELECT 'it''s \\' silver.orders' FROM `silver`.`orders`",
            "/* gold.dim */ SELECT 'it''s \\' silver.orders' FROM v1 AS `orders`",
        ),
        ("SELECT 1 FROM (SELECT 1 FROM silver.orders) t, silver.orders", "SELECT 1 FROM (SELECT 1 FROM v1 AS `orders`) t, v1 AS `orders`"),
        ("SELECT 1 FROM silver.orders -- c\n AS o", "SELECT 1 FROM v1 -- c\n AS o"),
        ("SELECT silver.other.x FROM silver.other", "SELECT silver.other.x FROM silver.other"),
    ],
)
def test_names_are_replaced_where_a_table_stands(sql, wanted):
    """Strings, comments and aliases stay; a table without alias keeps its own name."""
    assert rewritten(sql, VIEWS) == wanted


def test_only_read_names_are_mentioned():
    """A feed that nobody reads is not opened."""
    sql = "SELECT k FROM changed.silver.orders -- gold.dim"

    assert mentioned(sql, VIEWS) == {"changed.silver.orders"}


def test_bound_sql_runs_and_leaves_no_view(spark):
    """Two tables may bind the same names at once, and a later one sees nothing of them."""
    frame = spark.createDataFrame([(1, "a"), (2, "b")], "k int, name string")

    found = bind(spark, "WITH x AS (SELECT k FROM silver.orders WHERE orders.name = 'b') SELECT * FROM x", {"silver.orders": frame}, file="f")

    assert [row.k for row in found.collect()] == [2]
    assert [view.name for view in spark.catalog.listTables() if view.isTemporary] == []
    with pytest.raises(ContractError, match="^f: the SQL does not resolve: TABLE_OR_VIEW_NOT_FOUND"):
        bind(spark, "SELECT * FROM silver.nothing", {"silver.orders": frame}, file="f")
