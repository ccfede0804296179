"""What history costs: `gold.dim_customer` of this lake through an incremental SCD2 step, beside a bare Delta MERGE of the very same rows.

`python -m bench.history [CUSTOMERS]`. Everything lies in a temporary folder; one session does all, each round on fresh copies, in turn. The first
round warms up, and compares what each way leaves with all versions cut from the whole log; it is not measured.

    step    compute (feed, log, versions, comparison, digest) and MERGE, as a silver history does it in one commit
    bare    MERGE of the step's own change set, at hand as Parquet, into a copy of the same table
    gold    stage (compute, staged files, every rule counted over the whole table) and publish, as a gold history does it
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from compiler import compile_lake
from shared.core.layout import table_path
from shared.core.messages import ChangeSetRef
from shared.core.ports import InputRead, Writer
from shared.spark.from_log import marked
from shared.spark.history import unknown_member, versions
from shared.spark.inputs import staged
from shared.spark.session import spark_session
from shared.spark.tables import SparkTables
from shared.spec.lake import Lake, Table

ROOT = Path(__file__).resolve().parents[1]
WRITER = Writer(run="bench", fence=1, glue_run="jr_bench")
FIRST, MOVED, LATE = "2026-03-01", "2026-06-01", "2026-01-15"


@dataclass
class Measured:
    """One way to bring the table up to date: seconds per round; Spark jobs and files of the last one."""

    seconds: list[float] = field(default_factory=list)
    jobs: int = 0
    files_removed: int = 0
    files_added: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


class Bench:
    """A log of customers, histories made from it, and copies of them as they were before the changes."""

    def __init__(self, spark: SparkSession, root: Path, customers: int, changed: float, late: float) -> None:
        self.spark, self.root, self.customers, self.changed, self.late = spark, root, customers, changed, late
        lake = compile_lake(ROOT / "lake")
        self.log, self.gold = lake.table("silver.customer_changes"), lake.table("gold.dim_customer")
        self.silver = replace(self.gold, name="silver.dim_customer", layer="silver")
        self.tables = SparkTables(spark=spark, root=str(root), lake=_with(lake, self.silver), sources=_NoSources(), mask_key=lambda: b"")
        self.measured: dict[str, Measured] = {}

    def prepare(self) -> None:
        """The log before and after the changes (versions 1 and 2), both histories as of version 1, all of it copied aside."""
        for table in (self.log, self.silver):
            self.tables.create(table, WRITER, _no_guard)
        self._hear(self._states(FIRST, F.lit(True), "bronze"))
        self._derive()
        self._stage_and_publish(base=None)
        late = F.col("id") % round(1 / self.changed / self.late) == 0
        is_changed = F.col("id") % round(1 / self.changed) == 0
        self._hear(self._states(MOVED, is_changed & ~late, "gold").unionByName(self._states(LATE, is_changed & late, "gold")))
        for table in (self.silver, self.gold):
            shutil.copytree(self._path(table), self.root / "kept" / table_path(table))
        whole = versions(marked(self._read(self.log), self.silver), self.silver, self.log).unionByName(unknown_member(self.spark, self.silver))
        whole.write.parquet(str(self.root / "whole"))

    def round(self, *, compares: bool) -> None:
        """Every way once, each from the kept tables. Raises AssertionError when a re-run writes, or (`compares`) a way leaves other rows."""
        self._reset(self.silver)
        with self._measure("step", self.silver):
            done = self._derive()
        if compares:
            self._compare(self.silver, "the step")
        with self._measure("again", self.silver):
            again = self._derive()
        assert again.unchanged
        assert again.version == done.version
        self.rows = done.counts
        self._reset(self.gold)
        with self._measure("gold", self.gold):
            path = self._stage_and_publish(base=1)
        if compares:
            self._compare(self.gold, "gold")
        for name, feed in (("bare", "true"), ("bare, no change feed", "false")):
            self._bare(name, path, feed)
        if compares:
            self._compare(self.silver, "the bare MERGE")

    def _bare(self, name: str, path: str, feed: str) -> None:
        self._reset(self.silver)
        where = self._path(self.silver)
        self.spark.sql(f"ALTER TABLE delta.`{where}` SET TBLPROPERTIES (delta.enableChangeDataFeed = {feed})")
        source, deletes = staged(self.tables._store, self.gold, path)
        assert deletes.isEmpty()  # or it would not be the same MERGE
        with self._measure(name, self.silver):
            merge = DeltaTable.forPath(self.spark, str(where)).alias("t").merge(source.alias("s"), "t.customer_sk = s.customer_sk")
            merge.whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()

    # ---- the lake's own steps

    def _derive(self) -> Any:
        latest = self._log_version()
        read = InputRead(table=self.log, version=latest, consumed=latest - 1, overlay=None)
        return self.tables.derive(self.silver, (read,), rebuild=latest == 1, writer=WRITER, guard=_no_guard)

    def _stage_and_publish(self, *, base: int | None) -> str:
        latest, path = self._log_version(), f"_staging/bench/1/jr_bench/{time.monotonic_ns()}"
        read = InputRead(table=self.log, version=latest, consumed=latest - 1, overlay=None)
        done = self.tables.stage(self.gold, (read,), target_version=base, rebuild=base is None, path=path, overlays={})
        assert not any(result.unexpected for result in done.rules), done.rules
        ref = ChangeSetRef(table=self.gold.name, path=path, digest=done.digest, base_version=base, upserts=done.upserts, deletes=done.deletes)
        if base is None:
            self.tables.create(self.gold, WRITER, _no_guard)
        for phase in ref.phases:
            self.tables.publish(self.gold, ref, phase, meta_run="bench", writer=WRITER, guard=_no_guard)
        return path

    # ---- rows

    def _states(self, day: str, which: Any, tier: str) -> DataFrame:
        """One state each of the customers for whom `which` holds."""
        values = {
            "customer_id": F.format_string("C%09d", F.col("id")),
            "updated_at": F.lit(f"{day} 00:00:00").cast("timestamp") + F.make_dt_interval(secs=(F.col("id") % 80_000).cast("decimal(18,6)")),
            "name": F.lit("[redacted]"),
            "email": F.sha2(F.col("id").cast("string"), 256),
            "phone": F.format_string("*******%04d", F.col("id") % 10_000),
            "country": F.element_at(F.array(*map(F.lit, ("DE", "FR", "GB", "US"))), F.pmod(F.col("id"), F.lit(4)).cast("int") + 1),
            "tier": F.lit(tier),
            "is_deleted": F.lit(False),
        }
        return self.spark.range(self.customers).where(which).select(*(values[item.name].alias(item.name) for item in self.log.columns))

    def _hear(self, states: DataFrame) -> None:
        states.coalesce(4).write.format("delta").mode("append").save(str(self._path(self.log)))

    def _read(self, table: Table) -> DataFrame:
        return self.spark.read.format("delta").load(str(self._path(table)))

    def _compare(self, table: Table, what: str) -> None:
        found, whole = self._read(table), self.spark.read.parquet(str(self.root / "whole"))
        assert found.count() == whole.count(), f"{what} leaves {found.count():,} rows; the whole log gives {whole.count():,}"
        assert found.exceptAll(whole.select(*found.columns)).isEmpty(), f"{what} leaves rows that the whole log does not give"

    # ---- tables on disk

    def _path(self, table: Table) -> Path:
        return self.root / table_path(table)

    def _log_version(self) -> int:
        return len(list((self._path(self.log) / "_delta_log").glob("*.json"))) - 1

    def _reset(self, table: Table) -> None:
        shutil.rmtree(self._path(table))
        shutil.copytree(self.root / "kept" / table_path(table), self._path(table))
        self.spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()  # type: ignore[union-attr]

    @contextmanager
    def _measure(self, name: str, table: Table) -> Iterator[None]:
        context = self.spark.sparkContext
        group = f"{name} {time.monotonic_ns()}"
        before = set(self._path(table).rglob("*.parquet"))
        commits = len(list((self._path(table) / "_delta_log").glob("*.json")))
        context.setJobGroup(group, name)
        started = time.perf_counter()
        yield
        measured = self.measured.setdefault(name, Measured())
        measured.seconds.append(time.perf_counter() - started)
        measured.jobs = len(context.statusTracker().getJobIdsForGroup(group))
        context.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type]
        measured.files_removed = sum(1 for action in self._actions(table, commits) if "remove" in action)
        measured.files_added = len([file for file in set(self._path(table).rglob("*.parquet")) - before if "_change_data" not in file.parts])

    def _actions(self, table: Table, after: int) -> Iterator[dict[str, Any]]:
        for file in sorted((self._path(table) / "_delta_log").glob("*.json"))[after:]:
            yield from (json.loads(line) for line in file.read_text().splitlines())


class _NoSources:
    """No bronze is read here."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise AssertionError(f"the benchmark asked a source for {name}")


def _with(lake: Lake, table: Table) -> Lake:
    return replace(lake, tables=(*lake.tables, table))


def _no_guard() -> None:
    """Nobody else writes here."""


def session(memory: str) -> SparkSession:
    jars = sorted((ROOT / ".cache" / "jars").glob("*.jar"))
    assert jars, "no Spark jars in .cache/jars: `make setup` brings them"
    builder = SparkSession.builder.master("local[2]").config("spark.jars", ",".join(map(str, jars)))
    for key, value in {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        "spark.python.sql.dataFrameDebugging.enabled": "false",
        "spark.driver.extraJavaOptions": "-Duser.timezone=UTC",
        "spark.driver.memory": memory,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
    }.items():
        builder = builder.config(key, value)
    builder.getOrCreate()
    return spark_session("bench")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("customers", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--changed", type=float, default=0.05, help="share of customers with a new state (default %(default)s)")
    parser.add_argument("--late", type=float, default=0.01, help="share of these whose state is older than what is known (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="medians are of this many (default %(default)s), after one that warms up")
    parser.add_argument("--memory", default="2g", help="the JVM's heap (default %(default)s)")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        spark = session(asked.memory)
        bench = Bench(spark, Path(folder), asked.customers, asked.changed, asked.late)
        bench.prepare()
        bench.round(compares=True)
        bench.measured.clear()
        for _ in range(asked.rounds):
            bench.round(compares=False)
        spark.stop()
    _show(bench, as_json=asked.json)


def _show(bench: Bench, *, as_json: bool) -> None:
    bare, rows = bench.measured["bare"].median, bench.rows
    found = {
        name: {
            "seconds": round(one.median, 2),
            "of_bare": round(one.median / bare, 2),
            "spread": [round(min(one.seconds), 2), round(max(one.seconds), 2)],
            "spark_jobs": one.jobs,
            "files_rewritten": one.files_removed,
            "files_added": one.files_added,
        }
        for name, one in bench.measured.items()
    }
    if as_json:
        print(json.dumps({"customers": bench.customers, "inserted": rows.inserted, "updated": rows.updated, "deleted": rows.deleted, "ways": found}))
        return
    changes = f"{rows.inserted:,} versions inserted, {rows.updated:,} updated, {rows.deleted:,} deleted"
    print(f"{bench.customers:,} customers; {changes}. Results are equal.")
    columns = ("seconds", "of_bare", "spread", "spark_jobs", "files_rewritten", "files_added")
    print(f"{'':22}" + "".join(f"{name:>17}" for name in columns))
    for name, one in found.items():
        print(f"{name:22}" + "".join(f"{one[column]!s:>17}" for column in columns))


if __name__ == "__main__":
    main()
