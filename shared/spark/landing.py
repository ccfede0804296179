"""Owns the plan of one batch of bronze: conform, check on clear values, mask, tell copies and seen rows apart, split; and its evidence.

Nothing here reads or writes the lake. The frame of `examined` is computed once and persisted by the caller; it holds no clear value of a
masked column, so neither the shuffle nor the disk cache does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from shared.core.errors import ContractError, SchemaMismatch
from shared.core.messages import Batch, BatchCounts, RuleResult
from shared.core.window import edge_of_lookback
from shared.spark.counting import Counted, Related, count_orphans, count_unique, observed, observing, results
from shared.spark.digests import digest_aggregates, row_digest
from shared.spark.frames import contract_schema, exact_cast, names
from shared.spark.masks import masked, masked_columns, needs_key, with_mask_key
from shared.spark.rules import Presence, RowCheck, column, row_check, unique_columns
from shared.spark.sources.lines import UNREAD
from shared.spec.lake import Position, PositionKind, Rule, Table

FRONT = (
    "_run_date date, _batch_id string, _lane string, _row_id string, _ingest_ts timestamp, _source_system string, "
    "_reasons array<string>, _original string"
)
ACCEPTED, REJECTED, SEEN = "accepted", "rejected", "seen"
DELETED = "deleted"  # of a snapshot: a row nobody read, for a key that is gone; bronze holds it as accepted
COPY = "exact_copy"
SAME_KEY = "same_key"  # of a snapshot: what is known of a key is one row
BROKEN_LINE = "broken_line"
_WORD = 60  # bits used of a bigint
_POSITION_TYPES: Mapping[PositionKind, str] = {"timestamp": "timestamp", "date": "date", "integer": "bigint"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing a row can break. `reason` is what a reject carries; `rule` is None for what every contract demands without a rule."""

    reason: str
    rejects: bool
    rule: Rule | None
    broken: Column
    missing: Column


@dataclass(frozen=True, slots=True)
class Examined:
    """A batch's rows after every check: the contract's columns (masked), `_lane` (seen rows too), `_row_id`, `_reasons`, `_original`, flags."""

    table: Table
    rows: DataFrame
    checks: tuple[Check, ...]
    stand_in: dict[str, str]


def examined(raw: DataFrame, table: Table, batch: Batch, *, known_ids: DataFrame | None, key: bytes | None) -> Examined:
    """Everything that is decided about each row the source gave for a window.

    `raw` has the contract's columns with the source's types, and of files `_unread`. `known_ids` (`_row_id`) are the rows of lower batches
    that the lookback may show again; None when there are none. Raises SchemaMismatch for a column that could never be cast.
    """
    conformed = _conformed(raw, table)
    checks = _checks(table) if UNREAD not in raw.columns else _line_checks(table)
    flags = [_words([check.broken for check in checks], "_broken"), _words([check.missing for check in checks], "_missing")]
    hidden = _stand_ins(table)
    keyed = with_mask_key(conformed, key or b"") if needs_key(table) else conformed
    unread = F.col(UNREAD) if UNREAD in raw.columns else F.lit(None).cast("string")
    looked_back, at_edge = _looked_back(table, batch)
    marks = masked_columns(table)
    checked = keyed.select(
        *(masked(column(name), marks[name]).alias(name) if name in marks else column(name) for name in names(table)),
        *(word for words in flags for word in words),
        *(F.sha2(column(name).cast("binary"), 256).alias(stand_in) for name, stand_in in hidden.items()),
        _reasons(checks).alias("_reasons"),
        looked_back.alias("_looked_back"),
        at_edge.alias("_at_edge"),
        F.coalesce(unread, _original(table)).alias("_original"),
        F.sha2(unread, 256).alias("_unread_id"),
    )
    identified = checked.withColumn("_row_id", F.coalesce("_unread_id", row_digest(checked, names(table)))).drop("_unread_id")
    told = _tell_seen(identified, known_ids)
    return Examined(table, _split(told, table, len(flags[0])), checks, hidden)


def measure(work: Examined) -> list[Column]:
    """The aggregates of a batch: one pass over `work.rows` gives every count but those of unique and relationship rules."""
    new = F.col("_lane") != SEEN
    lanes = (ACCEPTED, REJECTED, SEEN, DELETED)
    aggregates = [F.count_if(F.col("_lane") != DELETED).alias("read"), *(F.count_if(F.col("_lane") == lane).alias(lane) for lane in lanes)]
    for position, check in enumerate(work.checks):
        broken, missing = _bit("_broken", position), _bit("_missing", position)
        if check.rule is not None:
            aggregates += [F.count_if(new & missing).alias(f"m{position}"), F.count_if(new & broken).alias(f"u{position}")]
        if check.rejects:
            aggregates.append(F.count_if(new & broken).alias(f"r{position}"))
    aggregates += [F.count_if(new & F.array_contains("_reasons", reason)).alias(reason) for reason in (COPY, SAME_KEY)]
    aggregates += [F.count_if(new & F.col("_looked_back")).alias("late"), F.count_if(new & F.col("_at_edge")).alias("late_at_edge")]
    digest = F.sha2(F.concat_ws("|", "_row_id", "_lane", F.concat_ws(",", "_reasons"), "_original"), 256)
    return [*aggregates, *observing(work.table, F.col("_lane") == ACCEPTED), *digest_aggregates(digest, among=new)]


def counts(measured: Row) -> BatchCounts:
    return BatchCounts(
        read=measured["read"], accepted=measured[ACCEPTED], rejected=measured[REJECTED], seen=measured[SEEN], deleted=measured[DELETED]
    )


def reasons(work: Examined, measured: Row) -> dict[str, int]:
    """Rejected rows by reason, those that occur."""
    found = {check.reason: int(measured[f"r{position}"]) for position, check in enumerate(work.checks) if check.rejects}
    return {reason: rows for reason, rows in (found | {reason: int(measured[reason]) for reason in (COPY, SAME_KEY)}).items() if rows}


def rule_results(work: Examined, measured: Row, related: Related) -> tuple[RuleResult, ...]:
    """Row rules over every row read and not seen; unique, table, freshness and relationship rules over the accepted ones."""
    judged, accepted = int(measured["read"] - measured[SEEN]), int(measured[ACCEPTED])
    found = observed(work.table, measured, accepted)
    for position, check in enumerate(work.checks):
        if check.rule is not None:
            missing, unexpected = int(measured[f"m{position}"]), int(measured[f"u{position}"])
            found[check.rule.id] = Counted(elements=judged, missing=missing, unexpected=unexpected)
    rows = work.rows.where(F.col("_lane") == ACCEPTED)
    found |= count_unique(work.table, rows, accepted, work.stand_in) | count_orphans(work.table, rows, related, accepted)
    return results(work.table, found)


def bronze_rows(work: Examined, batch: Batch, system: str) -> DataFrame:
    """The rows of both lanes as bronze stores them: run columns first, then the contract's."""
    lead: dict[str, Any] = {
        "_run_date": F.lit(batch.ingest_time).cast("date"),
        "_batch_id": F.lit(batch.batch_id),
        "_ingest_ts": F.lit(batch.ingest_time),
        "_source_system": F.lit(system),
        "_lane": F.when(F.col("_lane") == DELETED, ACCEPTED).otherwise(F.col("_lane")),
    }
    rows = work.rows.where(F.col("_lane") != SEEN)
    order = bronze_schema(work.table).names
    return rows.select(*(lead[name].alias(name) if name in lead else column(name) for name in order))


def bronze_schema(table: Table) -> StructType:
    return contract_schema(table, front=FRONT)


def lookback_filter(table: Table, batch: Batch, earliest: Position) -> Column:
    """The rows of bronze that a lookback from `earliest` may show again: of lower batches, at positions before the window."""
    position = _position(table)
    return (F.col("_batch_id") < batch.batch_id) & (position >= F.lit(earliest)) & (position < F.lit(batch.lo))


def _looked_back(table: Table, batch: Batch) -> tuple[Column, Column]:
    """Whether a row lies before the window, and whether at the far edge of the lookback. Nothing is late for a first batch."""
    mark = None if table.source is None else table.source.watermark
    if mark is None or batch.seq == 1:
        return F.lit(False), F.lit(False)
    position, edge = _position(table), edge_of_lookback(mark, batch.lo)
    return F.coalesce(position < F.lit(batch.lo), F.lit(False)), F.coalesce(position < F.lit(edge), F.lit(False))


def _position(table: Table) -> Column:
    """The watermark column as what windows are cut in; a timestamp without zone is UTC, as the session is."""
    if table.source is None:
        raise ContractError(f"{table.file}: {table.name} has no source")
    mark = table.source.windows
    return column(mark.column).cast(_POSITION_TYPES[mark.kind])


def _raw(name: str) -> str:
    return f"_raw_{name}"


def _conformed(raw: DataFrame, table: Table) -> DataFrame:
    """The contract's columns cast, and beside each what the source gave."""
    given = {field.name: field.dataType for field in raw.schema.fields}
    wanted = {field.name: field.dataType for field in contract_schema(table).fields}
    cast = []
    for item in table.columns:
        try:
            value = exact_cast(column(item.name), given[item.name], item.type, wanted[item.name]).alias(item.name)
            raw.select(value)  # an impossible cast is refused here, with a name
        except AnalysisException:
            kind = given[item.name].simpleString()
            raise SchemaMismatch(f"{table.name}: the source gives {item.name} as {kind}, which can never be {item.type}; mend {table.file}") from None
        cast += [value, column(item.name).alias(_raw(item.name))]
    return raw.select(*cast, *([UNREAD] if UNREAD in raw.columns else []))


def _checks(table: Table) -> tuple[Check, ...]:
    """The contract's row rules, then what every contract demands: casts that hold, required values present."""
    presence = Presence(
        absent=lambda name: column(_raw(name)).isNull(),
        uncast=lambda name: column(_raw(name)).isNotNull() & column(name).isNull(),
    )
    rules = [rule for rule in table.rules if rule.kind == "row"]
    critical = {(rule.expectation, rule.kwargs.get("column")) for rule in rules if rule.severity == "critical"}
    checks = [_rule_check(row_check(table, rule, presence)) for rule in rules]
    for item in table.columns:
        if ("expect_column_values_to_be_of_type", item.name) not in critical:
            checks.append(Check(f"{item.name}.type", True, None, presence.uncast(item.name), F.lit(False)))
        if item.required and ("expect_column_values_to_not_be_null", item.name) not in critical:
            checks.append(Check(f"{item.name}.required", True, None, presence.absent(item.name), F.lit(False)))
    return tuple(checks)


def _line_checks(table: Table) -> tuple[Check, ...]:
    """Of text: a line that cannot be read breaks nothing else, for nothing in it is known."""
    unread = F.col(UNREAD).isNotNull()
    readable = (replace(check, broken=check.broken & ~unread) for check in _checks(table))
    return (Check(BROKEN_LINE, True, None, unread, F.lit(False)), *readable)


def _rule_check(check: RowCheck) -> Check:
    return Check(check.rule.id, check.rule.severity == "critical", check.rule, check.broken, check.missing)


def _words(flags: Sequence[Column], name: str) -> list[Column]:
    """Booleans as bits of as many bigints as they need: `<name>_0`, `<name>_1`, …"""
    words = []
    for start in range(0, max(len(flags), 1), _WORD):
        word = F.lit(0).cast("bigint")
        for position, flag in enumerate(flags[start : start + _WORD]):
            word = word.bitwiseOR(F.when(flag, F.lit(1 << position).cast("bigint")).otherwise(F.lit(0).cast("bigint")))
        words.append(word.alias(f"{name}_{start // _WORD}"))
    return words


def _bit(name: str, position: int) -> Column:
    return F.col(f"{name}_{position // _WORD}").bitwiseAND(F.lit(1 << (position % _WORD)).cast("bigint")) != 0


def _reasons(checks: Sequence[Check]) -> Column:
    """What a row is rejected for; an empty array for a row that holds."""
    each = [F.when(check.broken, F.lit(check.reason)) for check in checks if check.rejects]
    empty = F.array().cast("array<string>")
    return F.array_compact(F.array(*each)) if each else empty


def _original(table: Table) -> Column:
    """What the source gave, as JSON of texts, masked where the contract masks."""
    marks = masked_columns(table)
    texts = []
    made = table.source.made if table.source else ()
    for name in (name for name in names(table) if name not in made):
        text = column(_raw(name)).cast("string")
        texts.append((masked(text, marks[name]) if name in marks else text).alias(name))
    return F.to_json(F.struct(*texts), {"ignoreNullFields": "false"})


def _stand_ins(table: Table) -> dict[str, str]:
    """Columns of unique rules whose mask makes different values equal, and the digest that is compared instead (never written)."""
    marks = masked_columns(table)
    compared = {name for rule in table.rules if rule.kind == "unique" for name in unique_columns(table, rule)}
    return {name: f"_unique_{name}" for name in sorted(compared) if marks.get(name) in ("redact", "partial")}


def _tell_seen(rows: DataFrame, known_ids: DataFrame | None) -> DataFrame:
    if known_ids is None:
        return rows.withColumn("_seen", F.lit(False))
    known = known_ids.select(F.col("_row_id").alias("_known_id")).distinct()
    joined = rows.join(known, F.col("_looked_back") & (F.col("_row_id") == F.col("_known_id")), "left")
    return joined.withColumn("_seen", F.col("_known_id").isNotNull()).drop("_known_id")


def _split(rows: DataFrame, table: Table, words: int) -> DataFrame:
    """Lanes. Of exact copies (the same row id, broken in the same way) the first keeps its lane, the rest are rejected as copies.

    In a snapshot, different rows that hold and have one key are all rejected: neither is known to be the key's state.
    """
    alike = Window.partitionBy("_seen", "_row_id", *(f"_broken_{word}" for word in range(words))).orderBy("_row_id")
    numbered = rows.withColumn("_copy", (F.row_number().over(alike) > 1) & ~F.col("_seen"))
    reasons = F.when(F.col("_copy"), F.array_append("_reasons", F.lit(COPY))).otherwise(F.col("_reasons"))
    lane = F.when(F.col("_seen"), SEEN).when(F.size("_reasons") > 0, REJECTED).otherwise(ACCEPTED)
    numbered = numbered.withColumn("_reasons", reasons)
    if table.source is not None and table.source.snapshot is not None:
        rivals = F.count_if(F.size("_reasons") == 0).over(Window.partitionBy(*(column(name) for name in table.key)))
        two = (F.size("_reasons") == 0) & (rivals > 1)
        numbered = numbered.withColumn("_reasons", F.when(two, F.array(F.lit(SAME_KEY))).otherwise(F.col("_reasons")))
    told = numbered.withColumn("_lane", lane)
    return told.withColumn("_original", F.when(F.col("_lane") == REJECTED, F.col("_original"))).drop("_seen", "_copy")
