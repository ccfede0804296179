"""A small lake for Spark tests: contracts as dataclasses, a source that gives frames, and tables in a folder."""

import hashlib
import itertools
import json
import shutil
import tempfile
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_type
from pyspark.sql.types import StructType

from shared.core.layout import batch_id, table_path
from shared.core.messages import Batch, ChangeSetRef, Replay
from shared.core.ports import SourceClock, Writer
from shared.spark.frames import contract_schema
from shared.spark.tables import SparkTables
from shared.spec.lake import Column, Lake, Relationship, Rule, Server, Source, Table, Tolerance, Watermark

START = datetime(2026, 11, 1, tzinfo=UTC)
KEY = b"a key of the tests, and of them alone"
WRITER = Writer(run="run-1", fence=1, glue_run="jr_1")


def at(days=0.0, **more):
    return START + timedelta(days=days, **more)


HORIZON = at(30)


def column(name, type="string", *, key=None, required=False, mask=None, partition=None):
    classification = "restricted" if mask else None
    return Column(
        name=name,
        type=type,
        required=required,
        key_position=key,
        partition_position=partition,
        classification=classification,
        mask=mask,
        lineage=(),
    )


def rule(expectation, column=None, *, id=None, kind="row", severity="critical", mostly=1.0, **kwargs):
    given = ({"column": column} if column else {}) | kwargs
    return Rule(
        id=id or f"{column or 'table'}.{expectation}",
        kind=kind,
        expectation=expectation,
        kwargs=given,
        element=column,
        severity=severity,
        mostly=mostly,
        limit=None,
        tolerance_written=False,
    )


def table(name, load, columns, **more):
    layer = name.partition(".")[0]
    settings = {
        "title": name,
        "version": "1.0.0",
        "owner": "team",
        "file": f"lake/{name.replace('.', '/')}.yaml",
        "group": "all",
        "rules": (),
        "inputs": (),
        "relationships": (),
        "source": None,
        "origin": None,
        "sequence": None,
        "delete_when": None,
        "history": None,
        "sql": None,
        "affected_sql": None,
        "zorder": (),
        "contract_hash": f"contract of {name}",
        "definition_hash": f"definition of {name}",
    }
    return Table(name=name, layer=layer, load=load, columns=tuple(columns), **settings | more)


def source(relation="sales.orders", watermark="updated_at", lookback=7200):
    mark = Watermark(column=watermark, lookback=lookback, safety_lag_seconds=300, start_at=START, max_window=31 * 86400)
    server = Server(name="laptop", type="postgres", environment="local", host="127.0.0.1", port=5432, database="shop", schema="sales")
    return Source(relation=relation, watermark=mark, reject_tolerance=Tolerance(share=0.01, rows=20), servers=(server,))


def batch(of, seq, lo, hi):
    return Batch(batch_id=batch_id(of, seq), seq=seq, lo=lo, hi=hi, ingest_time=at(40), run="run-1", fence=1, outcome=None)


@dataclass
class FakeSources:
    """A source as a frame per table: what SourceReader asks, answered from memory."""

    spark: object
    schemas: dict
    rows: dict = field(default_factory=dict)
    nulls: int = 0
    unknown: tuple = ()
    reads: int = 0
    asked: list = field(default_factory=list)

    def clock(self, table):
        return SourceClock(now=at(40), oldest_open=None, tells_open=False)

    def window(self, table, lo, hi):
        self.reads += 1
        given = self.spark.createDataFrame(_arrow_table(self.rows[table.name], StructType.fromDDL(self.schemas[table.name])))
        position = F.col(table.source.watermark.column).cast("timestamp")
        return given.where((position >= F.lit(lo)) & (position < F.lit(hi)))

    def unknown_columns(self, table):
        return self.unknown

    def by_keys(self, table, keys):
        self.asked.append(list(keys))
        given = self.spark.createDataFrame(_arrow_table(self.rows[table.name], StructType.fromDDL(self.schemas[table.name])))
        texts = F.array(*(F.col(name).cast("string") for name in table.key))
        return given.where(texts.isin(*(F.array(*map(F.lit, key)) for key in keys)))

    def snapshot(self, table):
        self.reads += 1
        return self.spark.createDataFrame(self.rows[table.name], self.schemas[table.name])

    def null_positions(self, table):
        return self.nulls

    def system(self, table):
        return "laptop"

    def patiently(self, table, action):
        return action()


ORDERS = table(
    "bronze.orders",
    "append",
    [
        column("order_id", key=1, required=True),
        column("customer_id", mask="hmac"),
        column("address", mask="redact"),
        column("card", mask="partial"),
        column("quantity", "int", required=True),
        column("amount", "decimal(12,2)"),
        column("currency"),
        column("is_deleted", "boolean"),
        column("updated_at", "timestamp", required=True),
    ],
    rules=(
        rule("expect_column_values_to_not_be_null", "order_id", id="order_id.required"),
        rule("expect_column_values_to_not_be_null", "quantity", id="quantity.required"),
        rule("expect_column_values_to_be_of_type", "quantity", id="quantity.type", type_="int"),
        rule("expect_column_values_to_match_regex", "customer_id", id="customer_id.pattern", regex=r"^C\d+$"),
        rule("expect_column_values_to_be_in_set", "currency", id="currency_known", value_set=["USD", "EUR"]),
        rule("expect_column_values_to_be_between", "amount", id="amount.minimum", min_value=0, severity="warning"),
        rule("expect_column_values_to_be_unique", "order_id", id="order_id.unique", kind="unique", severity="warning"),
        rule("expect_table_row_count_to_be_between", id="enough", kind="table", min_value=1),
        rule("expect_column_sum_to_be_between", "amount", id="turnover", kind="table", min_value=0),
        rule("freshness", "updated_at", id="freshness", kind="freshness", severity="warning", max_age_seconds=86400),
    ),
    source=source(),
)
ORDERS_GIVEN = (
    "order_id string, customer_id string, address string, card string, quantity string, amount decimal(38,18), currency string, "
    "is_deleted boolean, updated_at timestamp"
)
SILVER_ORDERS = table(
    "silver.orders",
    "merge",
    [
        column("order_id", key=1, required=True),
        column("customer_id"),
        column("quantity", "int"),
        column("amount", "decimal(12,2)"),
        column("updated_at", "timestamp"),
    ],
    rules=(rule("expect_column_values_to_be_unique", "order_id", id="order_id.unique", kind="unique"),),
    origin="bronze.orders",
    inputs=("bronze.orders",),
    sequence="updated_at",
    delete_when="is_deleted",
)
CUSTOMERS = table(
    "gold.customers",
    "derive",
    [column("customer_id", key=1), column("orders", "bigint"), column("spent", "decimal(22,2)")],
    rules=(rule("expect_column_values_to_be_unique", "customer_id", id="customer_id.unique", kind="unique"),),
    inputs=("silver.orders",),
    sql="""-- silver.orders in a comment stays
        SELECT customer_id, count(*) AS orders, sum(orders.amount) AS spent FROM silver.orders WHERE customer_id IS NOT NULL GROUP BY customer_id""",
    affected_sql="SELECT customer_id FROM changed.silver.orders",
)
FACT = table(
    "gold.fact",
    "derive",
    [
        column("order_id", key=1),
        column("customer_id"),
        column("share", "decimal(12,2)"),
        column("order_date", "date", partition=1),
    ],
    rules=(rule("relationship", "customer_id", id="customer_id.relationship", kind="relationship"),),
    inputs=("gold.customers", "silver.orders"),
    relationships=(Relationship(column="customer_id", to_table="gold.customers", to_column="customer_id"),),
    sql="""SELECT o.order_id, o.customer_id, cast(c.spent AS decimal(12,2)) AS share, cast(o.updated_at AS date) AS order_date
        FROM silver.orders o LEFT JOIN gold.customers AS c ON c.customer_id = o.customer_id""",
    affected_sql="""SELECT order_id FROM changed.silver.orders
        UNION SELECT o.order_id FROM silver.orders AS o JOIN changed.gold.customers c ON c.customer_id <=> o.customer_id""",
)
LAKE = Lake(tables=(ORDERS, SILVER_ORDERS, CUSTOMERS, FACT), environments={})


def order(
    number, *, customer="C1", quantity="1", amount="10.00", currency="USD", days=0.5, deleted=False, address="Main St 1", card="4111111111111111"
):
    from decimal import Decimal

    price = None if amount is None else Decimal(amount)
    return (f"O{number}" if number is not None else None, customer, address, card, quantity, price, currency, deleted, at(days))


class Shop:
    """Tables in a folder, fed from memory."""

    def __init__(self, spark, root: Path, lake=LAKE):
        self.spark, self.root, self.guards = spark, root, 0
        self.sources = FakeSources(spark, {"bronze.orders": ORDERS_GIVEN})
        self.tables = SparkTables(spark=spark, root=str(root), lake=lake, sources=self.sources, mask_key=lambda: KEY)
        self._staged = itertools.count()

    def guard(self):
        self.guards += 1

    def create(self, *tables):
        """Version 0 of each table. Spark makes it once per contract; later ones are copies of its files."""
        for one in tables:
            blank = _blank(self.spark, one)
            shutil.copytree(blank / table_path(one), self.root / table_path(one))

    def land(self, seq, rows, lo, hi, *, of=ORDERS, holds_rows=False):
        self.sources.rows[of.name] = rows
        return self.tables.land(of, batch(of, seq, lo, hi), holds_rows=holds_rows, writer=WRITER, guard=self.guard)

    def replay(self, seq, *, rules=(), runs=(), of=ORDERS, holds_rows=False, position=HORIZON):
        """A replay of open rejects as batch `seq`; the source is as it was left."""
        selector = Replay(table=of.name, rules=tuple(rules), runs=tuple(runs))
        return self.tables.land(
            of, replace(batch(of, seq, position, position), replay=selector), holds_rows=holds_rows, writer=WRITER, guard=self.guard
        )

    def lay(self, seq, rows, *, of=ORDERS):
        """Accepted rows of a batch as landing would leave them, without landing and without Spark: for tests of what reads bronze.

        Columns that the contract gained since are added, as landing does.
        """
        count = len(rows)
        lead = {
            "_run_date": pa.array([date(2026, 12, 11)] * count, pa.date32()),
            "_batch_id": pa.array([batch_id(of, seq)] * count, pa.string()),
            "_lane": pa.array(["accepted"] * count, pa.string()),
            "_row_id": pa.array([str(uuid.uuid4()) for _ in rows], pa.string()),
            "_ingest_ts": pa.array([at(40)] * count, pa.timestamp("us", "UTC")),
            "_source_system": pa.array(["laptop"] * count, pa.string()),
            "_reasons": pa.array([[]] * count, pa.list_(pa.string())),
            "_original": pa.array([None] * count, pa.string()),
        }
        own = _arrow_table(rows, contract_schema(of))
        laid = pa.table(lead | dict(zip(own.column_names, own.columns, strict=True)))
        write_deltalake(str(self.root / table_path(of)), laid, mode="append", schema_mode="merge", partition_by=["_run_date", "_lane"])

    def merge(self, of=SILVER_ORDERS, origin=ORDERS, *, after, up_to, rebuild=False):
        return self.tables.merge(of, origin, after_seq=after, up_to_seq=up_to, rebuild=rebuild, writer=WRITER, guard=self.guard)

    def stage(self, of, inputs, *, version, rebuild=False, overlays=None):
        path = f"_staging/run-1/1/jr_1/{next(self._staged)}/{of.name}"
        done = self.tables.stage(of, tuple(inputs), target_version=version, rebuild=rebuild, path=path, overlays=overlays or {})
        return path, done

    def ref(self, of, path, done, *, base):
        """What the gate would pass of a staged change set."""
        counts = {"upserts": done.upserts, "deletes": done.deletes, "reshapes": done.reshapes}
        return ChangeSetRef(table=of.name, path=path, digest=done.digest, base_version=base, **counts)

    def publish(self, *passed):
        """Pairs of table and change set, as the job applies them: missing tables are made; upserts in order, deletes in reverse."""
        for of, _ in passed:
            if self.tables._store.latest(of) is None:
                self.create(of)
        for phase, order in (("upserts", passed), ("deletes", reversed(passed))):
            for of, ref in order:
                if phase in ref.phases:
                    self.tables.publish(of, ref, phase, meta_run="run-1", writer=WRITER, guard=self.guard)

    def read(self, of, version=None):
        reader = self.spark.read.format("delta")
        return (reader if version is None else reader.option("versionAsOf", version)).load(str(self.root / table_path(of)))

    def rows(self, of, *columns, version=None):
        """By another reader than Spark; instants in UTC without a zone, as Spark gives them here."""
        held = DeltaTable(str(self.root / table_path(of)), version=version).to_pyarrow_table(columns=list(columns) or None)
        return sorted((tuple(row.values()) for row in without_zones(held).to_pylist()), key=repr)

    def versions(self, of):
        return len(list((self.root / table_path(of) / "_delta_log").glob("*.json")))

    def metadata(self, of, version):
        lines = (self.root / table_path(of) / "_delta_log" / f"{version:020d}.json").read_text().splitlines()
        info = next(json.loads(line)["commitInfo"] for line in lines if "commitInfo" in line)
        return json.loads(info["userMetadata"]), info


def with_columns(of, *added, **changes):
    return replace(of, columns=(*of.columns, *added), **changes)


def without_zones(rows):
    """Arrow rows with their instants as UTC without a zone."""
    return rows.cast(pa.schema([pa.field(item.name, pa.timestamp("us")) if pa.types.is_timestamp(item.type) else item for item in rows.schema]))


_BLANKS = tempfile.TemporaryDirectory(prefix="sluice-blanks-")


def _blank(spark, of):
    folder = Path(_BLANKS.name) / hashlib.sha256(repr(of).encode()).hexdigest()
    if not folder.exists():
        Shop(spark, folder).tables.create(of, WRITER, lambda: None)
    return folder


def _arrow_table(rows, schema):
    """Rows of a schema as Arrow, which Spark and Delta take without a Python worker."""
    kinds = [to_arrow_type(field.dataType) for field in schema]
    columns = [pa.array([row[position] for row in rows]).cast(kind) for position, kind in enumerate(kinds)]
    return pa.table(columns, names=schema.names)
