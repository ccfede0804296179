"""Promise P4 for every table of every lake here: histories made from the contracts, and what many runs left against what one rebuild gives."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pytest
import sqlglot
from deltalake import DeltaTable
from shop import START, WRITER, Shop, without_zones
from sqlglot import exp

from compiler.lake import compile_lake
from shared.core.layout import table_path
from shared.core.ports import InputRead
from shared.spark.derived import changes_of
from tests.histories import content, latest_states, replayed

ROOT = Path(__file__).resolve().parents[2]
LAKES = [ROOT / "lake", *sorted(folder for folder in (ROOT / "tests" / "lakes").iterdir() if folder.is_dir())]
BATCHES = 2


class History:
    """Rows of each source, batch by batch: late, out of order, tied, repeated, deleted, moved to another key of a join, NULL where they may be.

    A column of one name holds values of one small pool in every table, so that joins meet.
    """

    def __init__(self, lake, seed):
        self.seed, self.lake, self.sent = seed, lake, {}

    def batch(self, table, seq):
        """The distinct rows of a batch; the first is larger. They do not depend on what other tables there are."""
        self.dice = random.Random(f"{self.seed}:{table.name}:{seq}")
        sent = self.sent.setdefault(table.name, [])
        rows = [
            self._again(table, seq, self.dice.choice(sent)) if sent and self.dice.random() < 0.3 else self._row(table, seq)
            for _ in range(90 if seq == 1 else 16)
        ]
        fresh = list(dict.fromkeys(rows))
        sent += fresh
        return fresh

    def _row(self, table, seq):
        return tuple(self._value(table, column, seq) for column in table.columns)

    def _again(self, table, seq, row):
        """A state that was sent before, at its own time or at a new one."""
        if self.dice.random() < 0.5:
            return row
        position = self._position(table)
        return tuple(self._moment(seq) if c.name == position else value for c, value in zip(table.columns, row, strict=True))

    def _position(self, table):
        """The column that tells when a row was written; files have no watermark, and what is loaded from them is ordered by it."""
        if table.source.watermark is not None:
            return table.source.watermark.column
        return next(other.sequence for other in self.lake.tables if other.origin == table.name)

    def _moment(self, seq):
        """Half days, around the batch's own three days."""
        return START + timedelta(hours=12 * self.dice.randrange(max(0, 6 * seq - 10), 6 * seq))

    def _value(self, table, column, seq):
        if column.name == self._position(table):
            return self._moment(seq)
        if not column.required and column.key_position is None and self.dice.random() < 0.25:
            return None
        known = self._value_set(column.name)
        if known:
            return self.dice.choice(known)
        number, day = self.dice.randrange(self._pool(column.name)), self.dice.randrange(24)
        kind, _, digits = column.type.partition("(")
        return {
            "string": lambda: f"{column.name}-{number}",
            "int": lambda: number + 1,
            "bigint": lambda: number + 1,
            "boolean": lambda: self.dice.random() < 0.25,
            "date": lambda: (START + timedelta(days=day)).date(),
            "timestamp": lambda: START + timedelta(days=day, hours=12),
            "decimal": lambda: (Decimal(number + 1) * Decimal("1.237")).quantize(Decimal(1).scaleb(-int(digits.rstrip(")").split(",")[1]))),
        }[kind]()

    def _value_set(self, name):
        rules = [rule for table in self.lake.sources for rule in table.rules]
        return next((rule.kwargs["value_set"] for rule in rules if rule.element == name and "value_set" in rule.kwargs), None)

    def _pool(self, name):
        """Many values for the key of one table, some for a key that other tables refer to, few for the rest."""
        holders = [table for table in self.lake.sources if name in {column.name for column in table.columns}]
        return 8 if not any(name in table.key for table in holders) else 90 if len(holders) == 1 else 24


class Trade(Shop):
    """Any lake, brought from batch to batch as refine, stage and publish bring it."""

    def __init__(self, spark, root, lake, seed):
        super().__init__(spark, root, lake)
        self.lake, self.history = lake, History(lake, seed)
        self.certified = {}  # table -> (version, consumed)
        self.before = {}  # as certified before the last batch

    def play(self):
        for seq in range(1, BATCHES + 1):
            self.before = dict(self.certified)
            for table in self.lake.sources:
                self.lay(seq, self.history.batch(table, seq), of=table)
            for table in self.lake.of_stage("refine"):
                self._refine(table, seq)
            self._move_gold()
        return self

    def reads(self, table, overlays):
        """The inputs of a derived table as they are now, and what it consumed."""
        _, consumed = self.certified.get(table.name, (None, {}))
        return tuple(
            InputRead(
                table=self.lake.table(name),
                version=self.certified.get(name, (None, {}))[0],
                consumed=consumed.get(name),
                overlay=overlays.get(name),
            )
            for name in table.inputs
        )

    def rebuilt(self, table):
        """What a rebuild would still change: rows inserted, updated, deleted."""
        version, consumed = self.certified[table.name]
        if table.layer == "gold":
            with changes_of(self.tables._store, table, self.reads(table, {}), self.read(table, version), rebuild=True) as changes:
                counts = changes.counts
        else:
            counts = self._written(table, consumed.get(table.origin), rebuild=True).counts
        return counts.inserted, counts.updated, counts.deleted

    def _written(self, table, seq, *, rebuild):
        if table.origin is not None and table.origin.startswith("bronze."):
            after = 0 if rebuild else self.certified[table.name][1][table.origin]
            return self.merge(table, self.lake.table(table.origin), after=after, up_to=seq, rebuild=rebuild)
        return self.tables.derive(table, self.reads(table, {}), rebuild=rebuild, writer=WRITER, guard=self.guard)

    def _refine(self, table, seq):
        new = table.name not in self.certified
        if new:
            self.create(table)
        done = self._written(table, seq, rebuild=new)
        consumed = {name: seq if self.lake.table(name).layer == "bronze" else self.certified[name][0] for name in table.inputs}
        self.certified[table.name] = (done.version, consumed)

    def _move_gold(self):
        overlays, moved = {}, []
        for table in self.lake.of_stage("stage"):
            base, consumed = self.certified.get(table.name, (None, {}))
            reads = self.reads(table, overlays)
            if base is not None and all(read.overlay is None and read.version == read.consumed for read in reads):
                continue  # nothing it reads has moved
            path, done = self.stage(table, reads, version=base, rebuild=base is None, overlays=overlays)
            overlays[table.name] = path
            moved.append((table, self.ref(table, path, done, base=base)))
        self.publish(*moved)
        for table, _ in moved:  # all versions first: a reader consumed what publishing made of its gold inputs
            self.certified[table.name] = (self.tables._store.latest(table), {})
        for table, _ in moved:
            self.certified[table.name] = (self.certified[table.name][0], {other: self.certified[other][0] for other in table.inputs})

    def visible(self, table, *, since=None):
        """The table's live rows at its certified version, as Arrow, read without Spark; instants as UTC without a zone."""
        version, _ = (self.certified if since is None else since)[table.name]
        rows = DeltaTable(str(self.root / table_path(table)), version=version).to_pyarrow_table()
        if "_deleted" in rows.column_names:
            rows = rows.filter(pc.invert(rows.column("_deleted")))
        return without_zones(rows).select([column.name for column in table.columns])


@pytest.fixture(scope="module", params=[(folder, seed) for folder in LAKES for seed in (2,)], ids=lambda of: f"{of[0].name}-{of[1]}")
def trade(request, spark, tmp_path_factory):
    folder, seed = request.param
    return Trade(spark, tmp_path_factory.mktemp(folder.name), compile_lake(folder), seed).play()


def test_many_runs_leave_what_one_rebuild_gives(trade):
    """Whatever order rows came in, with deletes, late rates and products that appear and vanish: no table differs from its rebuild."""
    made = [table for table in trade.lake.tables if table.layer != "bronze"]

    left_over = {table.name: trade.rebuilt(table) for table in made}

    assert left_over == {table.name: (0, 0, 0) for table in made}
    assert all(trade.visible(table).num_rows for table in made)


def test_affected_keys_that_leave_out_a_changed_input_are_found(trade):
    """What the last batch changed, with one branch of an affected SQL taken away: a key is missed, so the histories reach every branch. By DuckDB."""
    made = [table for table in trade.lake.tables if table.layer != "bronze"]
    with duckdb.connect() as engine:
        engine.execute(
            "ATTACH ':memory:' AS changed; CREATE SCHEMA silver; CREATE SCHEMA gold; CREATE SCHEMA changed.silver; CREATE SCHEMA changed.gold"
        )
        for table in made:
            engine.register("now", trade.visible(table))
            engine.register("before", trade.visible(table, since=trade.before))
            engine.execute(f"CREATE TABLE {table.name} AS SELECT * FROM now")
            engine.execute(f"CREATE TABLE changed.{table.name} AS (FROM now EXCEPT FROM before) UNION ALL (FROM before EXCEPT FROM now)")
        for table in made:
            key, branches = ", ".join(table.key), without_one_branch(table.affected_sql)
            for sql in branches and [table.affected_sql, *branches]:
                affected = sqlglot.transpile(sql, read="spark", write="duckdb")[0]
                missed = engine.execute(f"SELECT {key} FROM changed.{table.name} EXCEPT SELECT {key} FROM ({affected})").fetchall()

                assert bool(missed) == (sql in branches), f"{table.file}: {len(missed)} keys are missed, with these rows, by:\n{sql}"


def test_another_engine_computes_the_same(trade):
    """DuckDB, given each table's certified inputs and the same SQL, gives the same rows (but for columns of functions that mean another thing)."""
    for table in (table for table in trade.lake.tables if table.sql):
        tree = sqlglot.parse_one(table.sql, read="spark")
        unlike = {item.alias_or_name for item in tree.selects if any(name in item.sql("spark").lower() for name in ("xxhash64", "weekday"))}
        columns = ", ".join(column.name for column in table.columns if column.name not in unlike)
        with duckdb.connect() as engine:
            engine.execute("CREATE SCHEMA silver; CREATE SCHEMA gold; CREATE FUNCTION xxhash64(text) AS 0::bigint")
            for name in (*table.inputs, table.name):
                engine.register("given", trade.visible(trade.lake.table(name)))
                engine.execute(f"CREATE TABLE {name} AS SELECT * FROM given")
            engine.execute(f"CREATE TABLE expected AS SELECT {columns} FROM {table.name} LIMIT 0")
            engine.execute(f"INSERT INTO expected SELECT {columns} FROM ({tree.sql('duckdb')})")
            expected, found = (engine.execute(f"SELECT {columns} FROM {rows} ORDER BY ALL").fetchall() for rows in ("expected", table.name))

        assert expected == found, table.name


def test_a_replay_in_plain_python_gives_the_same_histories_and_latest_states(trade):
    """What is made from a log is what one gets by reading it event by event: the versions of a history, the last states of a merge."""
    from_logs = [table for table in trade.lake.tables if table.origin and trade.lake.table(table.origin).load == "log"]
    for table in from_logs:
        found = [row for row in rows_of(trade.visible(table)) if table.history is None or row[table.history.surrogate_key] != 0]
        events, gone = events_of(trade.visible(trade.lake.table(table.origin)), table.delete_when)
        names = {column.name for column in table.columns}
        if table.history is None:
            made = latest_states(events, key=table.key, at=table.sequence, is_delete=gone)
        else:
            names -= {table.history.surrogate_key}
            keys, tracked = table.history.natural_key, table.history.tracked
            latest = tuple(names - {*keys, *tracked, "valid_from", "valid_to", "is_current"})
            first = table.history.first_valid_from
            made = replayed(events, natural=keys, tracked=tracked, latest=latest, at=table.sequence, is_delete=gone, first_valid_from=first)
            assert len(found) == len({row.pop(table.history.surrogate_key) for row in found})
        expected = [{name: row[name] for name in names} for row in made]

        assert sorted(map(content, expected)) == sorted(map(content, found)), table.name


def rows_of(rows):
    """Arrow as dicts, instants in UTC."""
    return [{name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value for name, value in row.items()} for row in rows.to_pylist()]


def events_of(log, delete_when):
    """A log's rows, and which of them say that the thing was deleted, by DuckDB."""
    with duckdb.connect() as engine:
        engine.register("log", log)
        deleted = [row[0] for row in engine.execute(f"SELECT coalesce({delete_when or 'false'}, false) FROM log").fetchall()]
    events = rows_of(log)
    gone = {content(event) for event, is_gone in zip(events, deleted, strict=True) if is_gone}
    return events, lambda event: content(event) in gone


def without_one_branch(sql):
    """The SQL less each of its UNION's branches; nothing for one that has but one."""
    branches, tree = [], sqlglot.parse_one(sql, read="spark") if sql else None
    while isinstance(tree, exp.Union):
        branches.insert(0, tree.expression.sql("spark"))
        tree = tree.this
    if branches:
        branches.insert(0, tree.sql("spark"))
    return ["\nUNION\n".join(other for other in branches if other is not one) for one in branches]
