"""Owns the plan of one batch of bronze: conform, check on clear values, mask, tell copies and seen rows apart, split; and its evidence.

`examined` does it for rows of a source; `row_checks`, `checked` and `told` are its parts, of which `shared.spark.replay` makes the same for rejects.

Nothing here reads or writes the lake. The frame of `examined` is computed once and kept by the caller; it holds no clear value of a masked
column, so neither the shuffle nor the disks where it is kept do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from shared.core.errors import ContractError, SchemaMismatch
from shared.core.messages import Batch, BatchCounts, RuleResult
from shared.core.replay import BROKEN_LINE, COPY, POINTER, sees_clear_values
from shared.core.window import edge_of_lookback
from shared.spark.counting import Counted, Related, count_orphans, count_unique, observed, observing, results
from shared.spark.digests import digest_aggregates, row_digest
from shared.spark.frames import contract_schema, exact_cast, names
from shared.spark.masks import looks_masked, masked, masked_columns, needs_key, with_mask_key
from shared.spark.rules import Presence, RowCheck, column, row_check, unique_columns
from shared.spark.sources.lines import UNREAD
from shared.spec.lake import Mask, Position, PositionKind, Rule, Table

FRONT = (
    "_run_date date, _batch_id string, _lane string, _row_id string, _ingest_ts timestamp, _source_system string, _run_id string, "
    "_reasons array<string>, _clear_reasons array<string>, _original string"
)
ACCEPTED, REJECTED, SEEN = "accepted", "rejected", "seen"
DELETED = "deleted"  # of a snapshot: a row nobody read, for a key that is gone; bronze holds it as accepted
SAME_KEY = "same_key"  # of a snapshot: what is known of a key is one row
POINTER_COLUMN = "_pointer"  # of a replay: which reject a row was
_UNREAD_ID = "_unread_id"
_WORD = 60  # bits used of a bigint
_POSITION_TYPES: Mapping[PositionKind, str] = {"timestamp": "timestamp", "date": "date", "integer": "bigint"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing a row can break. `reason` is what a reject carries; `rule` is None for what every contract demands without a rule.

    `broken` and `missing` are never NULL: they become bits of one word.
    """

    reason: str
    rejects: bool
    rule: Rule | None
    broken: Column
    missing: Column
    sees_clear: bool  # it must see what a masked column held before it was masked


@dataclass(frozen=True, slots=True)
class Examined:
    """A batch's rows after every check: the contract's columns (masked), `_lane` (seen rows too), `_row_id`, `_reasons`, `_original`, flags.

    `_clear_reasons` are those of `_reasons` that only clear values of masked columns can lift.

    Of a replay bronze keeps the seen rows too, and every row's `_original` says which reject it was.
    """

    table: Table
    rows: DataFrame
    checks: tuple[Check, ...]
    stand_in: dict[str, str]
    replay: bool


def examined(raw: DataFrame, table: Table, batch: Batch, *, known_ids: DataFrame | None, key: bytes | None) -> Examined:
    """Everything that is decided about each row the source gave for a window.

    `raw` has the contract's columns with the source's types, and of files `_unread`. `known_ids` (`_row_id`) are the rows of lower batches
    that the lookback may show again; None when there are none. Raises SchemaMismatch for a column that could never be cast.
    """
    looked_back, at_edge = _looked_back(table, batch)
    given = conformed(raw, table).withColumns({"_looked_back": looked_back, "_at_edge": at_edge})
    checks = row_checks(table, lines=UNREAD in given.columns)
    return told(checked(given, table, checks, key=key, keep=("_looked_back", "_at_edge")), table, checks, known_ids=known_ids)


def checked(
    rows: DataFrame, table: Table, checks: Sequence[Check], *, key: bytes | None, keep: Sequence[str] = (), carried: bool = False
) -> DataFrame:
    """Rows of `conformed`, checked and masked: the contract's columns, flags, stand-ins, `_reasons`, `_clear_reasons`,
    `_original`, and what to `keep` of `rows`.

    Nothing is shuffled. `carried`: masked columns hold masked values already, and a value of a column whose mask is new is masked now.
    """
    lines, marks, hidden = UNREAD in rows.columns, masked_columns(table), _stand_ins(table)
    flags = [*_words([check.broken for check in checks], "_broken"), *_words([check.missing for check in checks], "_missing")]
    keyed = with_mask_key(rows, key or b"") if needs_key(table) else rows

    def shown(value: Column, mask: Mask) -> Column:
        return F.when(looks_masked(value, mask), value).otherwise(masked(value, mask)) if carried else masked(value, mask)

    original = _original(table, shown)
    return keyed.select(
        *(shown(column(name), marks[name]).alias(name) if name in marks else column(name) for name in names(table)),
        *flags,
        *(F.sha2(column(name).cast("binary"), 256).alias(stand_in) for name, stand_in in hidden.items()),
        _reasons(checks).alias("_reasons"),
        _reasons([check for check in checks if check.sees_clear]).alias("_clear_reasons"),
        (F.coalesce(F.col(UNREAD), original) if lines else original).alias("_original"),
        *([F.sha2(UNREAD, 256).alias(_UNREAD_ID)] if lines else []),
        *keep,
    )


def told(rows: DataFrame, table: Table, checks: Sequence[Check], *, known_ids: DataFrame | None, replay: bool = False) -> Examined:
    """Rows of `checked` in their lanes. They have `_looked_back` and `_at_edge`, or (`replay`) `_pointer`."""
    lines, words = _UNREAD_ID in rows.columns, len([name for name in rows.columns if name.startswith("_broken_")])
    digest = row_digest(rows, names(table))
    identified = rows.withColumn("_row_id", F.coalesce(_UNREAD_ID, digest) if lines else digest).drop(_UNREAD_ID)
    if replay:
        identified = identified.withColumns({"_looked_back": F.lit(False), "_at_edge": F.lit(False)})
    maybe_known = F.size("_reasons") == 0 if replay else F.col("_looked_back")
    split = _split(_tell_seen(identified, known_ids, maybe_known), table, words, order=POINTER_COLUMN if replay else "_row_id")
    lanes = _pointing_back(split) if replay else split.withColumn("_original", F.when(F.col("_lane") == REJECTED, F.col("_original")))
    return Examined(table, lanes, tuple(checks), _stand_ins(table), replay)


def measure(work: Examined) -> Row | None:
    """One pass over `work.rows` for every count but those of unique and relationship rules."""
    new = f"_lane != '{SEEN}'"
    counted = {"read": f"_lane != '{DELETED}'", **{lane: f"_lane = '{lane}'" for lane in (ACCEPTED, REJECTED, SEEN, DELETED)}}
    for position, check in enumerate(work.checks):
        broken, missing = _bit("_broken", position), _bit("_missing", position)
        if check.rule is not None:
            counted |= {f"m{position}": f"{new} AND {missing}", f"u{position}": f"{new} AND {broken}"}
        if check.rejects:
            counted[f"r{position}"] = f"{new} AND {broken}"
    counted |= {reason: f"{new} AND array_contains(_reasons, '{reason}')" for reason in (COPY, SAME_KEY)}
    counted |= {"late": f"{new} AND _looked_back", "late_at_edge": f"{new} AND _at_edge"}
    aggregates = [F.expr(f"count_if({condition}) AS {name}") for name, condition in counted.items()]
    rows = work.rows.withColumn("_digest", F.expr("sha2(concat_ws('|', _row_id, _lane, concat_ws(',', _reasons), _original), 256)"))
    digest = digest_aggregates("_digest", among="true" if work.replay else new)
    return rows.agg(*aggregates, *observing(work.table, F.col("_lane") == ACCEPTED), *digest).first()


def counts(measured: Row) -> BatchCounts:
    return BatchCounts(
        read=measured["read"], accepted=measured[ACCEPTED], rejected=measured[REJECTED], seen=measured[SEEN], deleted=measured[DELETED]
    )


def reasons(work: Examined, measured: Row) -> dict[str, int]:
    """Rejected rows by reason, those that occur. Of a replay they may be reasons that no rule of the contract gives any more."""
    if work.replay:
        each = work.rows.where(F.col("_lane") == REJECTED).select(F.explode("_reasons").alias("reason")).groupBy("reason").count()
        return {row["reason"]: int(row["count"]) for row in sorted(each.collect(), key=lambda row: str(row["reason"]))}
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
    """The rows of both lanes (of a replay also the seen ones) as bronze stores them: run columns first, then the contract's."""
    lead: dict[str, Any] = {
        "_run_date": F.lit(batch.ingest_time).cast("date"),
        "_batch_id": F.lit(batch.batch_id),
        "_ingest_ts": F.lit(batch.ingest_time),
        "_source_system": F.lit(system),
        "_run_id": F.lit(batch.run),
        "_lane": F.when(F.col("_lane") == DELETED, ACCEPTED).otherwise(F.col("_lane")),
    }
    rows = work.rows if work.replay else work.rows.where(F.col("_lane") != SEEN)
    order = bronze_schema(work.table).names
    return rows.select(*(lead[name].alias(name) if name in lead else column(name) for name in order))


def bronze_schema(table: Table) -> StructType:
    return contract_schema(table, front=FRONT)


def lookback_filter(table: Table, batch: Batch, earliest: Position) -> Column:
    """The rows of bronze that a lookback from `earliest` may show again: of lower batches, at positions before the window."""
    position = position_column(table)
    return (F.col("_batch_id") < batch.batch_id) & (position >= F.lit(earliest)) & (position < F.lit(batch.lo))


def _looked_back(table: Table, batch: Batch) -> tuple[Column, Column]:
    """Whether a row lies before the window, and whether at the far edge of the lookback. Nothing is late for a first batch."""
    mark = None if table.source is None else table.source.watermark
    if mark is None or batch.seq == 1:
        return F.lit(False), F.lit(False)
    position, edge = position_column(table), edge_of_lookback(mark, batch.lo)
    return F.coalesce(position < F.lit(batch.lo), F.lit(False)), F.coalesce(position < F.lit(edge), F.lit(False))


def position_column(table: Table) -> Column:
    """The watermark column as what windows are cut in; a timestamp without zone is UTC, as the session is."""
    if table.source is None:
        raise ContractError(f"{table.file}: {table.name} has no source")
    mark = table.source.windows
    return column(mark.column).cast(_POSITION_TYPES[mark.kind])


def raw_name(name: str) -> str:
    """The column that holds what was given for the column `name`."""
    return f"_raw_{name}"


def conformed(raw: DataFrame, table: Table) -> DataFrame:
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
        cast += [value, column(item.name).alias(raw_name(item.name))]
    return raw.select(*cast, *([UNREAD] if UNREAD in raw.columns else []))


def row_checks(table: Table, *, lines: bool = False, carried: bool = False) -> tuple[Check, ...]:
    """The contract's row rules, then what every contract demands: casts that hold, required values present. Of `lines` of text, first of all
    that they can be read. Values that are `carried` masked break no rule that would have to see clear ones: it had passed."""
    presence = Presence(
        absent=lambda name: column(raw_name(name)).isNull(),
        uncast=lambda name: column(raw_name(name)).isNotNull() & column(name).isNull(),
    )
    rules = [rule for rule in table.rules if rule.kind == "row"]
    critical = {(rule.expectation, rule.kwargs.get("column")) for rule in rules if rule.severity == "critical"}
    checks = [_rule_check(table, row_check(table, rule, presence), carried=carried) for rule in rules]
    for item in table.columns:
        if ("expect_column_values_to_be_of_type", item.name) not in critical:
            checks.append(Check(f"{item.name}.type", True, None, presence.uncast(item.name), F.lit(False), False))
        if item.required and ("expect_column_values_to_not_be_null", item.name) not in critical:
            checks.append(Check(f"{item.name}.required", True, None, presence.absent(item.name), F.lit(False), False))
    return _line_checks(checks) if lines else tuple(checks)


def _line_checks(checks: Sequence[Check]) -> tuple[Check, ...]:
    """Of text: a line that cannot be read breaks nothing else, for nothing in it is known."""
    unread = F.col(UNREAD).isNotNull()
    readable = (replace(check, broken=check.broken & ~unread) for check in checks)
    return (Check(BROKEN_LINE, True, None, unread, F.lit(False), sees_clear=False), *readable)


def _rule_check(table: Table, check: RowCheck, *, carried: bool) -> Check:
    sees_clear = sees_clear_values(table, check.rule)
    broken = F.lit(False) if carried and sees_clear else check.broken
    return Check(check.rule.id, check.rule.severity == "critical", check.rule, broken, check.missing, sees_clear)


def _words(flags: Sequence[Column], name: str) -> list[Column]:
    """Booleans as bits of as many bigints as they need: `<name>_0`, `<name>_1`, …"""
    words = []
    for start in range(0, max(len(flags), 1), _WORD):
        word = F.lit(0).cast("bigint")
        for position, flag in enumerate(flags[start : start + _WORD]):
            word = word.bitwiseOR(F.shiftleft(flag.cast("bigint"), position))
        words.append(word.alias(f"{name}_{start // _WORD}"))
    return words


def _bit(name: str, position: int) -> str:
    return f"({name}_{position // _WORD} & {1 << (position % _WORD)}L) != 0"


def _reasons(checks: Sequence[Check]) -> Column:
    """What a row is rejected for; an empty array for a row that holds."""
    each = [F.when(check.broken, F.lit(check.reason)) for check in checks if check.rejects]
    empty = F.array().cast("array<string>")
    return F.array_compact(F.array(*each)) if each else empty


def _original(table: Table, shown: Callable[[Column, Mask], Column]) -> Column:
    """What the source gave, as JSON of texts, masked where the contract masks."""
    marks = masked_columns(table)
    texts = []
    made = table.source.made if table.source else ()
    for name in (name for name in names(table) if name not in made):
        text = column(raw_name(name)).cast("string")
        texts.append((shown(text, marks[name]) if name in marks else text).alias(name))
    return F.to_json(F.struct(*texts), {"ignoreNullFields": "false"})


def _stand_ins(table: Table) -> dict[str, str]:
    """Columns of unique rules whose mask makes different values equal, and the digest that is compared instead (never written)."""
    marks = masked_columns(table)
    compared = {name for rule in table.rules if rule.kind == "unique" for name in unique_columns(table, rule)}
    return {name: f"_unique_{name}" for name in sorted(compared) if marks.get(name) in ("redact", "partial")}


def _tell_seen(rows: DataFrame, known_ids: DataFrame | None, maybe_known: Column) -> DataFrame:
    if known_ids is None:
        return rows.withColumn("_seen", F.lit(False))
    known = known_ids.select(F.col("_row_id").alias("_known_id")).distinct()
    joined = rows.join(known, maybe_known & (F.col("_row_id") == F.col("_known_id")), "left")
    return joined.withColumn("_seen", F.col("_known_id").isNotNull()).drop("_known_id")


def _split(rows: DataFrame, table: Table, words: int, *, order: str) -> DataFrame:
    """Lanes. Of exact copies (the same row id, broken in the same way, the same before it was cast) the first keeps its lane, the rest are
    rejected as copies.

    In a snapshot, different rows that hold and have one key are all rejected: neither is known to be the key's state.
    """
    broken = [f"_broken_{word}" for word in range(words)]
    given = F.when(F.size("_reasons") > 0, F.col("_original"))  # two values that do not parse are two rows, though both are cast to NULL
    alike = Window.partitionBy("_seen", "_row_id", *broken, given).orderBy(order)
    numbered = rows.withColumn("_copy", (F.row_number().over(alike) > 1) & ~F.col("_seen"))
    reasons = F.when(F.col("_copy"), F.array_append("_reasons", F.lit(COPY))).otherwise(F.col("_reasons"))
    lane = F.when(F.col("_seen"), SEEN).when(F.size("_reasons") > 0, REJECTED).otherwise(ACCEPTED)
    numbered = numbered.withColumn("_reasons", reasons)
    if table.source is not None and table.source.snapshot is not None:
        rivals = F.count_if(F.size("_reasons") == 0).over(Window.partitionBy(*(column(name) for name in table.key)))
        two = (F.size("_reasons") == 0) & (rivals > 1)
        numbered = numbered.withColumn("_reasons", F.when(two, F.array(F.lit(SAME_KEY))).otherwise(F.col("_reasons")))
    return numbered.withColumn("_lane", lane).drop("_seen", "_copy")


def _pointing_back(rows: DataFrame) -> DataFrame:
    """A replay's rows with `_original` as bronze keeps it: the pointer, and of rejected rows what was given."""
    pointer = F.create_map(F.lit(POINTER), F.col(POINTER_COLUMN))
    texts = F.map_concat(F.from_json("_original", "map<string,string>"), pointer)
    original = F.to_json(F.when(F.col("_lane") == REJECTED, texts).otherwise(pointer), {"ignoreNullFields": "false"})
    return rows.withColumn("_original", original).drop(POINTER_COLUMN)
