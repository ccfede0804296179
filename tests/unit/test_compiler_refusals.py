"""Refusals that take more than one edit: cycles, limits, all at once, no cascades."""

from pathlib import Path

from compiler import compile_lake
from tests.unit.compiler_refusals import CHANGES, DIM, FACT, FACT_AFFECTED, FACT_SQL, ORDERS, S_ORDERS, TOML, copied, edit, problems_of


def test_the_good_lake_is_good(tmp_path):
    """Every case above is refused for its own change and nothing else."""
    compile_lake(copied(tmp_path))


def test_one_change_gives_one_problem_not_a_cascade(tmp_path):
    """A misspelt column name in a source is told where it is, not in each table that reads it through three layers and their SQL."""
    lake = copied(tmp_path)
    edit(
        lake / ORDERS,
        "{name: is_deleted, logicalType: boolean, physicalType: boolean,",
        "{name: is_deleted, logicalType: boolean, physicalType: bolean,",
    )

    assert ["'bolean' is not a Spark type that a contract can have"] == [problem.message for problem in problems_of(lake)]


def test_all_problems_are_told_at_once(tmp_path):
    """Mistakes in eight files take one round, not eight; they come sorted by file and line."""
    lake = copied(tmp_path)
    for file, (old, new, _) in EIGHT.items():
        edit(lake / file, old, new)

    found = problems_of(lake)

    assert {lake / file: message for file, (_, _, message) in EIGHT.items()} == {Path(problem.file): problem.message for problem in found}
    assert sorted(found, key=lambda problem: (problem.file, problem.line)) == list(found)


EIGHT = {
    S_ORDERS: ("load: merge", "load: marge", "unknown load 'marge'"),
    ORDERS: ("mask: redact", "mask: redacted", "unknown mask 'redacted'"),
    CHANGES: (", classification: restricted}", "}", "'email' is public and is computed from bronze.customers.email, which is restricted"),
    FACT_SQL: ("o.quantity", "o.quantty", "'quantty' is not a column of silver.orders"),
    FACT_AFFECTED: ("changed.gold.dim_product", "gold.dim_product", "changes of gold.dim_product, which gold.fact_sales reads, affect no key"),
    FACT: ("dim_date.date_sk", "dim_dat.date_sk", "'dim_dat' is not a table of the gold layer"),
    TOML: ("count = 10", "count = 1", "'count' cannot be 1"),
    DIM: (", tracked: [country, tier]", "", "'tracked' is missing"),
}


def test_a_table_without_a_rule_is_refused(tmp_path):
    """Nothing is certified by having been asked nothing; that its values have their types is not a question the contract asked."""
    lake = copied(tmp_path)
    head = (lake / "bronze/products.yaml").read_text().split("schema:\n")[0]
    (lake / "bronze/notes.yaml").write_text(head.replace("bronze.products", "bronze.notes") + WITHOUT_RULE)

    (problem,) = problems_of(lake)

    assert "bronze.notes has no rule" == problem.message


WITHOUT_RULE = """schema:
  - name: notes
    properties:
      - {name: seen_at, physicalType: timestamp}
      - {name: body, physicalType: string}
customProperties:
  - property: sluice
    value:
      load: append
      source: sales.notes
      watermark: {column: seen_at, lookback: 0s, safety_lag: 0s, start_at: '2024-01-01T00:00:00Z', max_window: 1d}
      reject_tolerance: {share: 0, rows: 0}
"""


def test_a_cycle_is_refused_by_its_path(tmp_path):
    """Two tables that need each other can never be made; the message shows the way round."""
    lake = copied(tmp_path)
    edit(lake / "gold/dim_date.yaml", "{name: year,", "{relationships: [{to: dim_other.year}], name: year,")
    other = (lake / "gold/dim_date.yaml").read_text().replace("dim_date", "dim_other").replace("to: dim_other.year", "to: dim_date.year")
    (lake / "gold/dim_other.yaml").write_text(other)
    (lake / "gold/dim_other.sql").write_text((lake / "gold/dim_date.sql").read_text())

    (problem,) = problems_of(lake)

    assert "the tables need each other: gold.dim_date -> gold.dim_other -> gold.dim_date" == problem.message


def test_more_than_ninety_sources_are_refused(tmp_path):
    """Commit moves every watermark in one transaction, and DynamoDB takes a hundred items."""
    lake = copied(tmp_path)
    text = (lake / "bronze/products.yaml").read_text()
    for number in range(87):
        (lake / f"bronze/extra{number:02}.yaml").write_text(text.replace("products", f"extra{number:02}"))

    assert ["the lake has 91 sources, and 90 is the most"] == [problem.message for problem in problems_of(lake)]


def test_more_than_sixty_row_rules_are_refused(tmp_path):
    """Row rules are the bits of one bigint."""
    lake = copied(tmp_path)
    rules = "\n".join(
        f"      - {{id: r{n}, type: custom, engine: sluice, implementation: {{type: expect_row, condition: quantity > {n}}}}}" for n in range(50)
    )
    edit(lake / S_ORDERS, "    quality:\n", f"    quality:\n{rules}\n")

    assert ["silver.orders has 62 row rules, and 60 is the most"] == [problem.message for problem in problems_of(lake)]


def test_a_key_that_is_computed_needs_an_affected_file(tmp_path):
    """Without it the changed rows' own values are taken for keys, and an upper-cased key would never be recomputed."""
    lake = copied(tmp_path)
    contract = (lake / S_ORDERS).read_text().replace("orders", "shouted", 5).replace("id: silver.orders", "id: silver.shouted")
    contract = contract.split("customProperties")[0] + "customProperties:\n  - {property: sluice, value: {load: derive}}\n"
    (lake / "silver/shouted.yaml").write_text(contract.replace("name: orders", "name: shouted"))
    others = "customer_id, product_id, quantity, amount, currency, status, ordered_at, updated_at"
    sql = f"SELECT {{}} AS order_id, {others} FROM silver.orders AS o"
    (lake / "silver/shouted.sql").write_text(sql.format("o.order_id"))
    compile_lake(lake)
    (lake / "silver/shouted.sql").write_text(sql.format("upper(o.order_id)"))

    (problem,) = problems_of(lake)

    assert problem.message.startswith("key 'order_id' is computed")


def test_no_folder_is_refused(tmp_path):
    """A mistyped path is not an empty lake."""
    (problem,) = problems_of(tmp_path / "nowhere")

    assert ("there is no such folder", 1) == (problem.message, problem.line)


def test_silver_does_not_read_gold(tmp_path):
    """Layers are made one after the other."""
    lake = copied(tmp_path)
    (lake / "silver/calendar.yaml").write_text((lake / "gold/dim_date.yaml").read_text().replace("dim_date", "calendar").replace("gold.", "silver."))
    (lake / "silver/calendar.sql").write_text("SELECT * FROM gold.dim_date AS d")

    (problem,) = problems_of(lake)

    assert (problem.message, problem.line) == ("silver.calendar reads gold.dim_date: silver comes before gold", 1)
