"""What the compiler made of `lake/`: tables in dependency order with rules, sources, SQL and hashes. Values; no behaviour but look-ups."""

import hashlib
import json
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from shared.spec.codec import from_json, to_json
from shared.spec.environment import OPERATOR, Environment, Role
from shared.spec.prices import Prices

Layer = Literal["bronze", "silver", "gold"]
Load = Literal["append", "log", "merge", "scd2", "derive", "replace"]
Severity = Literal["critical", "warning"]
Mask = Literal["hmac", "redact", "partial"]
RuleKind = Literal["row", "unique", "table", "relationship", "freshness", "history"]
Stage = Literal["ingest", "refine", "stage", "publish"]
Widening = Literal["refuse", "accept"]
PositionKind = Literal["timestamp", "date", "integer"]
Position = datetime | date | int  # of a watermark column
FileFormat = Literal["csv", "json", "parquet"]
SourceKind = Literal["windows", "snapshot", "files"]

STAGE_OF: Mapping[Layer, Stage] = {"bronze": "ingest", "silver": "refine", "gold": "stage"}

LEVELS = ("public", "confidential", "restricted")  # a column without classification is public


class UnknownTable(KeyError):
    """A table is not part of this lake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a contract. `type` is Spark's own lower-case spelling: `decimal(12,2)`, `timestamp`, `string`."""

    name: str
    type: str
    required: bool
    key_position: int | None
    partition_position: int | None
    classification: str | None
    mask: Mask | None
    lineage: tuple[str, ...]  # what it is computed from: "silver.orders.amount"; empty in bronze


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """An ODCS comparison on the number (`rows`) or the share (`percent`, 0-100) of values that break a rule: good when low <= n <= high."""

    unit: Literal["rows", "percent"]
    low: float | None
    high: float | None
    low_open: bool  # strictly greater than low
    high_open: bool  # strictly less than high
    negated: bool  # mustNotBe, mustNotBeBetween


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a table.

    `expectation` is Great Expectations' name (or `expect_row`, `relationship`, `freshness`, one of `spec.history`), `kwargs` its keyword
    arguments without `mostly`. A row or unique rule holds when the share of unexpected among non-missing values is at most 1 - mostly, or
    within `limit` where the contract wrote an ODCS comparison. Table rules compare `observed_value` with min_value/max_value of `kwargs`.
    `id` is unique in its table and is the reason a rejected row carries.
    """

    id: str
    kind: RuleKind
    expectation: str
    kwargs: Mapping[str, Any]
    element: str | None  # the column it speaks of; None for the table
    severity: Severity
    mostly: float
    limit: Limit | None
    tolerance_written: bool  # the contract itself wrote `mostly` or a percentage


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where a source lives in one environment. Credentials are in Secrets Manager, never here."""

    name: str
    type: str
    environment: str
    host: str | None
    port: int | None
    database: str | None
    schema: str | None
    account: str | None = None  # of Snowflake, as is the warehouse
    warehouse: str | None = None
    location: str | None = None  # s3: the folder that patterns start from
    format: FileFormat | None = None  # s3


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """How a source is cut into windows. `lookback` and `max_window` are in the column's own unit: seconds, days of a date, numbers.

    `safety_lag_seconds` holds back from the source's clock; numbers have none, and it is 0.
    """

    column: str
    lookback: int
    safety_lag_seconds: int
    start_at: Position
    max_window: int

    @property
    def kind(self) -> PositionKind:
        return kind_of(self.start_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel:
    """A window is read by `parts` connections at once, each a range of `column`."""

    column: str
    parts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A table without a usable position: every run reads it whole, and what is absent is deleted.

    The engine fills two columns that the source does not have: `deleted` (boolean) and `at` (timestamp), the snapshot's instant.
    """

    min_share: float  # a snapshot smaller than this share of the rows known halts
    deleted: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Objects under a server's location. In `pattern` a * stays within a folder, ** does not."""

    pattern: str
    max_objects: int  # of one batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """A batch halts when its rejects exceed both parts."""

    share: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a bronze table is pulled from, in one of three ways: by windows of a watermark, as whole snapshots, as files.

    `relation` goes into SQL unquoted, so that one contract serves every database; of files it is their pattern.
    """

    relation: str
    watermark: Watermark | None
    reject_tolerance: Tolerance
    servers: tuple[Server, ...]
    parallel: Parallel | None = None
    widening: Widening = "refuse"  # of a source's type beyond the contract's
    snapshot: Snapshot | None = None
    files: Files | None = None

    @property
    def kind(self) -> SourceKind:
        return "files" if self.files else "snapshot" if self.snapshot else "windows"

    @property
    def windows(self) -> Watermark:
        """The watermark of a source that is read by windows. Raises ValueError for another kind."""
        if self.watermark is None:
            raise ValueError(f"{self.relation} is not read by windows")
        return self.watermark

    @property
    def made(self) -> tuple[str, ...]:
        """Columns of the contract that the engine fills and the source does not have."""
        return () if self.snapshot is None else (self.snapshot.deleted, self.snapshot.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The keys of an `scd2` table."""

    natural_key: tuple[str, ...]
    surrogate_key: str
    tracked: tuple[str, ...]
    first_valid_from: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Relationship:
    """A foreign key to a table of the same layer."""

    column: str
    to_table: str
    to_column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of the lake."""

    name: str  # layer.table
    layer: Layer
    load: Load
    title: str
    version: str
    owner: str  # the contract's team
    file: str  # the contract's path, for messages
    group: str  # the Glue run of its stage that handles it
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...]
    inputs: tuple[str, ...]  # tables its load or SQL reads, sorted
    relationships: tuple[Relationship, ...]
    source: Source | None  # append
    origin: str | None  # log, merge, scd2: the table it is loaded `from`
    sequence: str | None  # log, merge: the column that orders a key's states; scd2: its log's
    delete_when: str | None  # SQL condition over the origin's columns; of what is made from a log, the log's own unless it has one
    history: History | None  # scd2
    sql: str | None  # derive, replace: Spark SQL over `layer.table` names
    affected_sql: str | None  # derive: target keys to recompute, over `changed.layer.table` and plain tables
    zorder: tuple[str, ...]
    contract_hash: str  # of everything here that a job acts upon
    definition_hash: str  # of what decides the table's content: load, columns, keys, SQL
    domain: str = ""
    readers: tuple[Role, ...] = ()  # the roles its contract opens it to, sorted

    @property
    def stage(self) -> Stage:
        return STAGE_OF[self.layer]

    @property
    def key(self) -> tuple[str, ...]:
        """Primary key columns in the contract's order."""
        keyed = [column for column in self.columns if column.key_position is not None]
        return tuple(column.name for column in sorted(keyed, key=lambda column: column.key_position or 0))

    @property
    def partitions(self) -> tuple[str, ...]:
        """Partition columns in the contract's order."""
        cut = [column for column in self.columns if column.partition_position is not None]
        return tuple(column.name for column in sorted(cut, key=lambda column: column.partition_position or 0))

    @property
    def classification(self) -> str:
        """The highest of its columns."""
        return max((column.classification or LEVELS[0] for column in self.columns), key=LEVELS.index)

    @property
    def freshness(self) -> Rule | None:
        """The strictest of its freshness rules; `kwargs["max_age_seconds"]` is how old its newest value may be."""
        rules = [rule for rule in self.rules if rule.kind == "freshness"]
        return min(rules, key=lambda rule: int(rule.kwargs["max_age_seconds"]), default=None)

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lake:
    """All tables of one folder, in dependency order (an input stands before what reads it)."""

    tables: tuple[Table, ...]
    environments: Mapping[str, Environment]
    prices: Prices | None = None

    def table(self, name: str) -> Table:
        for table in self.tables:
            if table.name == name:
                return table
        raise UnknownTable(f"{name} is not a table of this lake; there are {', '.join(t.name for t in self.tables)}")

    def environment(self, name: str) -> Environment:
        try:
            return self.environments[name]
        except KeyError:
            raise UnknownTable(f"{name} is not an environment of this lake; there are {', '.join(self.environments)}") from None

    def of_stage(self, stage: Stage) -> tuple[Table, ...]:
        """The tables that one stage makes, in dependency order."""
        return tuple(table for table in self.tables if table.stage == stage)

    @property
    def sources(self) -> tuple[Table, ...]:
        return self.of_stage("ingest")

    @property
    def owners(self) -> tuple[str, ...]:
        """Every team that owns a table, and the operator."""
        return tuple(sorted({OPERATOR, *(table.owner for table in self.tables)}))


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedLake:
    """A lake and the SHA-256 of the very text it was read from: the hash that a run pins."""

    lake: Lake
    hash: str


def kind_of(position: Position) -> PositionKind:
    """Which of the three a position is; a datetime is never taken for the date it also is."""
    return "integer" if isinstance(position, int) else "timestamp" if isinstance(position, datetime) else "date"


def lake_text(lake: Lake) -> str:
    """`lake.json`: the same lake gives the same bytes."""
    return json.dumps(to_json(lake), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read_lake(text: str) -> PinnedLake:
    """The lake of a `lake.json` text. Raises CodecError when it is not one."""
    return PinnedLake(lake=from_json(Lake, json.loads(text)), hash=hashlib.sha256(text.encode()).hexdigest())


def shipped_lake() -> PinnedLake:
    """The `lake.json` that bundling put beside this module. Raises FileNotFoundError outside of a bundle."""
    body = pkgutil.get_data("shared.spec", "lake.json")
    if body is None:
        raise FileNotFoundError("shared/spec/lake.json: this code did not come from a Sluice bundle")
    return read_lake(body.decode())
