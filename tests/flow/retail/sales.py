"""The retail lake's orders and products alone, as a lake of its own: a run of the whole lake cannot leave out so many tables."""

import re
import shutil
from pathlib import Path

from compiler import compile_lake
from local.places import ROOT
from shared.core.graph import needed_for, only

FACT = "gold.fact_sales"
TWIN = "twin"  # an environment that differs from `local` by its name alone
# Without customers and rates; the columns stay, for a table keeps those it has.
_SQL = """\
SELECT o.order_id, cast(0 AS bigint) AS customer_sk, coalesce(p.product_sk, 0) AS product_sk,
  cast(date_format(o.order_date, 'yyyyMMdd') AS int) AS date_sk, o.order_date, o.quantity, cast(o.amount AS decimal(18, 2)) AS amount_usd
FROM silver.orders AS o LEFT JOIN gold.dim_product AS p ON p.product_id = o.product_id
"""
_AFFECTED = """\
SELECT o.order_id FROM changed.silver.orders AS o
UNION
SELECT o.order_id FROM silver.orders AS o JOIN changed.gold.dim_product AS p ON p.product_id = o.product_id
"""


def sales_lake(folder: Path) -> Path:
    """The lake in a new folder, with one fact, of products alone, and all that it needs; and with an environment more, `TWIN`."""
    shutil.copytree(ROOT / "lake", folder)
    fact = folder / "gold" / "fact_sales"
    fact.with_suffix(".sql").write_text(_SQL)
    fact.with_suffix(".affected.sql").write_text(_AFFECTED)
    contract = fact.with_suffix(".yaml")
    text = re.sub(r", relationships: \[\{type: foreignKey, to: dim_(customer|date)\.\w+\}\]", "", contract.read_text())
    contract.write_text(re.sub(r" +- id: customers_known\n(?: {8}.*\n)+", "", text))
    lake = compile_lake(folder)
    other_facts = {table.name for table in lake.tables if table.relationships} - {FACT}
    kept = needed_for(only(lake, {table.name for table in lake.tables} - other_facts), [FACT])
    assert len(kept) == 6, f"the fact still brings along {', '.join(sorted(kept))}"
    for table in lake.tables:
        if table.name not in kept:
            for file in (folder / table.layer).glob(f"{table.name.partition('.')[2]}.*"):
                file.unlink()
    environments = folder / "environments.toml"  # a server that no table reads is refused, and a topic of no team
    text = re.sub(r', (web|web-data|finance-data) = ("[^"]*"|\[[^]]*\])', "", environments.read_text())
    local = re.search(r"\[environments\.local\]\n(?:.+\n)+", text)[0]
    environments.write_text(f"{text}\n{local.replace('local', TWIN)}")
    for source in (folder / "bronze").glob("*.yaml"):
        source.write_text(re.sub(r"(.*environment: )local(.*\n)", rf"\g<0>\1{TWIN}\2", source.read_text()))
    return folder
