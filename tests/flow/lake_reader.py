"""What a lake on a laptop holds, read without Spark: certified tables by deltalake, the protocol's state by the shipped adapters."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import duckdb
from deltalake import DeltaTable

from local.laptop import Laptop
from local.shop_files import BUCKET, FOLDER
from shared.aws.state import DynamoState
from shared.core.messages import RunRecord

_IN_USD = (
    "o.amount * (select arg_max(r.rate, r.rate_date) from r where r.currency = o.currency"
    " and r.rate_date between o.ordered_at::date - 7 and o.ordered_at::date)"
)


class Lake:
    """One laptop's lake."""

    def __init__(self, laptop: Laptop) -> None:
        self.laptop = laptop
        self.bucket = laptop.environment().bucket

    @property
    def state(self) -> DynamoState:
        """Of the laptop as it is up now: it listens elsewhere after each start."""
        return DynamoState(self.laptop.environment().state_table, client=self.laptop.client("dynamodb"))

    def rows(self, name: str, *, version: int | None = None) -> list[dict]:
        """A table's rows at its certified version (or another), in no order."""
        certified = self.state.certified().tables[name].version
        table = self.delta(name)
        table.load_as_version(certified if version is None else version)
        return table.to_pyarrow_table().to_pylist()

    def live(self, name: str) -> Counter:
        """The rows a reader sees, countable, so that two lakes compare."""
        seen = [{key: value for key, value in row.items() if not key.startswith("_")} for row in self.rows(name) if not row.get("_deleted")]
        return Counter(json.dumps(row, sort_keys=True, default=str) for row in seen)

    def delta(self, name: str) -> DeltaTable:
        aws = self.laptop.aws
        options = {
            **aws.environment(),
            "AWS_ALLOW_HTTP": "true",
        }
        return DeltaTable(f"s3://{self.bucket}/{name.replace('.', '/')}", storage_options=options)

    def versions(self) -> dict[str, int]:
        """Latest version of every table of the lake."""
        return {name: self.delta(name).version() for name in self.state.certified().tables}

    def lanes(self, name: str, lane: str) -> list[dict]:
        return [row for row in self.rows(name) if row["_lane"] == lane]

    def record(self, run: str) -> RunRecord:
        return self.state.run(run)

    def document(self, key: str) -> dict:
        return json.loads(self.laptop.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def jobs_started(self, run: str) -> Counter:
        glue = self.laptop.client("glue")
        names = [job["Name"] for job in glue.get_jobs()["Jobs"]]
        runs = [found for name in names for found in glue.get_job_runs(JobName=name)["JobRuns"]]
        return Counter(found["JobName"].rsplit("-", 1)[1] for found in runs if found["Arguments"]["--run"] == run)

    def source(self, question: str) -> list[tuple]:
        with self.laptop.status().database.connect() as connection:
            return connection.execute(question).fetchall()

    def rate_lines(self) -> list[list[str]]:
        """Every line of the treasury's files, as they lie in their bucket."""
        s3 = self.laptop.client("s3")
        keys = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{FOLDER}/")["Contents"]]
        texts = [s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode() for key in keys]
        return [line.split(",") for text in texts for line in text.splitlines()[1:]]

    def execute(self, statement: str) -> None:
        with self.laptop.status().database.connect() as connection:
            connection.execute(statement)

    def run(self, **given) -> tuple[str, object]:
        """One execution to its end: the run and how it ended."""
        run = self.laptop.start_run(given=given or None)
        return run, self.laptop.wait(run, timeout_s=400)


def assert_balanced(lake: Lake, run: str) -> None:
    """read = accepted + rejected + seen for each batch of the run, and the lanes of the table hold just that."""
    for name in lake.record(run).counts["ingest"]:
        evidence = lake.document(f"_evidence/{run}/ingest/{name}.json")
        rows = Counter((row["_batch_id"], row["_lane"]) for row in lake.rows(name))
        for batch in evidence["batches"]:
            counts = batch["counts"]
            assert counts["read"] == counts["accepted"] + counts["rejected"] + counts["seen"]
            assert counts["accepted"] == rows[(batch["batch_id"], "accepted")]
            assert counts["rejected"] == rows[(batch["batch_id"], "rejected")]


def assert_rejects_are_the_faults(lake: Lake, run: str) -> None:
    """The shop's ledger against the rejected lanes of the tables that the run ingested, row for row."""
    keys = {"orders": "order_id", "customer_behavior": "event_id", "fx_rates": "currency"}
    keys = {name: key for name, key in keys.items() if f"bronze.{name}" in lake.record(run).counts["ingest"]}
    faults = [fault for fault in lake.laptop.shop.ledger() if fault["table"] in keys]
    rejected = [(name, row) for name in keys for row in lake.lanes(f"bronze.{name}", "rejected")]
    assert sorted((fault["table"], fault["reason"], str(fault[keys[fault["table"]]])) for fault in faults) == sorted(
        (name, reason, str(row[keys[name]])) for name, row in rejected for reason in row["_reasons"]
    )


def assert_gold_equals_the_source(lake: Lake) -> None:
    """Silver and gold as DuckDB computes them from the shop's own tables and files: another engine, from the other end."""
    assert_sales_equal_the_source(lake)
    behavior = _at_the_source(
        lake,
        "select e.event_id, e.event_type, e.occurred_at::date, count(o.order_id), epoch_us(max(o.ordered_at))"
        " from e left join o on o.customer_id = e.customer_id and o.ordered_at <= e.occurred_at group by all",
    )
    activity = {row["event_id"]: row for row in lake.rows("silver.customer_activity")}
    told = [(row["event_id"], row["event_type"], row["event_date"], row["orders_so_far"]) for row in lake.rows("gold.fact_behavior")]
    assert sorted(behavior) == sorted((*event, _microseconds(activity[event[0]]["last_ordered_at"])) for event in told)
    _assert_activity_agrees_with_history(lake, activity)


def assert_sales_equal_the_source(lake: Lake, *, amount: str = _IN_USD) -> None:
    """The facts of sales alone, with what the lake takes for their `amount`, in DuckDB's SQL over o and r."""
    sales = _at_the_source(
        lake,
        f"select o.order_id, p.product_id is not null, o.quantity, cast(round({amount}, 2) as decimal(18,2))"
        " from o left join p on p.product_id = o.product_id",
    )
    found = [(row["order_id"], row["product_sk"] != 0, row["quantity"], row["amount_usd"]) for row in lake.rows("gold.fact_sales")]
    assert sorted(sales) == sorted(found)


def _at_the_source(lake: Lake, question: str) -> list[tuple]:
    with duckdb.connect() as duck:
        duck.execute("set timezone = 'UTC'")
        _load_source(lake, duck)
        return duck.execute(question).fetchall()


def _microseconds(at: datetime | None) -> int | None:
    """Since 1970: DuckDB gives instants to Python only with a package that is not here."""
    return None if at is None else (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _assert_activity_agrees_with_history(lake: Lake, activity: dict[str, dict]) -> None:
    """Two ways to what a customer was: silver's own, and the version that the fact points at."""
    versions = {row["customer_sk"]: row for row in lake.rows("gold.dim_customer")}
    for fact in lake.rows("gold.fact_behavior"):
        was, event = versions[fact["customer_sk"]], activity[fact["event_id"]]
        known = (was["country"], was["tier"]) if fact["customer_sk"] else (None, None)
        assert known == (event["country"], event["tier"]), event


def _load_source(lake: Lake, duck: duckdb.DuckDBPyConnection) -> None:
    """o, e, r, p: sound orders and events, each once, the last rate of each day, products."""
    orders = lake.source(
        "select distinct order_id, customer_id, product_id, quantity, amount, currency, ordered_at from sales.orders"
        " where not is_deleted and order_id is not null and currency in ('USD', 'EUR', 'GBP') and quantity ~ '^[0-9]+$' and amount ~ '^[0-9.]+$'"
    )
    events = lake.source(
        "select distinct event_id, customer_id, event_type, occurred_at from web.customer_behavior"
        " where event_id is not null and event_type in ('search', 'view', 'add_to_cart')"
    )
    products = lake.source("select distinct product_id from sales.products where not is_deleted")
    duck.execute(
        "create table o (order_id text, customer_id text, product_id text, quantity int, amount decimal(12,2), currency text,"
        " ordered_at timestamptz); create table e (event_id text, customer_id text, event_type text, occurred_at timestamptz);"
        "create table p (product_id text); create table f (currency text, rate_date date, rate decimal(18,8), published_at timestamptz)"
    )
    duck.executemany("insert into o values (?, ?, ?, ?, ?, ?, ?)", orders)
    duck.executemany("insert into e values (?, ?, ?, ?)", events)
    duck.executemany("insert into p values (?)", products)
    duck.executemany("insert into f values (?, ?, ?, ?)", [line for line in lake.rate_lines() if line[2] != "n/a"])
    duck.execute("create table r as select currency, rate_date, arg_max(rate, published_at) as rate from f group by all")
