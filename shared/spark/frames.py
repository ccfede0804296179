"""Owns the transformations that know no table on disk: DataFrame in, DataFrame out. Keys are compared by <=>, nothing is collected."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

from pyspark import StorageLevel
from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, FractionalType, IntegralType, StructField, StructType

from shared.core.errors import SchemaMismatch
from shared.spark.digests import row_digest
from shared.spark.rules import column
from shared.spec.lake import Table
from shared.spec.stored_types import is_widened

CHANGE = "_change"  # insert, update, delete
DELETED = "_deleted"  # a state that says: the thing is gone
_OLD, _NEW = "_old", "_new"


def contract_schema(table: Table, *, front: str = "") -> StructType:
    """The table's columns on disk: those in `front` (a DDL list), then the contract's. All nullable: presence is a rule, not a constraint."""
    own = ", ".join(f"`{item.name}` {item.type}" for item in table.columns)
    return cast(StructType, StructType.fromDDL(f"{front}, {own}" if front else own))


def names(table: Table) -> tuple[str, ...]:
    return tuple(item.name for item in table.columns)


def type_differences(found: StructType, wanted: StructType) -> list[str]:
    """What differs between two schemas, whatever the order of columns: one text per column."""
    have, want = _types(found), _types(wanted)
    return [_difference(name, have, want) for name in sorted(have | want) if have.get(name) != want.get(name)]


def widened(stored: StructType, wanted: StructType) -> tuple[str, ...]:
    """Columns on disk that take on a wider type by themselves."""
    have, want = _types(stored), _types(wanted)
    return tuple(name for name in have if name in want and is_widened(have[name], want[name]))


def misfits(stored: StructType, wanted: StructType) -> list[str]:
    """What a table on disk cannot follow by itself, one text per column: it takes added columns and widened types."""
    have, want = _types(stored), _types(wanted)
    kept = sorted(set(have) - set(widened(stored, wanted)))
    return [_difference(name, have, want) for name in kept if have[name] != want.get(name)]


def _types(schema: StructType) -> dict[str, str]:
    return {field.name: field.dataType.simpleString() for field in schema.fields}


def _difference(name: str, have: Mapping[str, str], want: Mapping[str, str]) -> str:
    return f"{name}: {have.get(name, 'missing')} instead of {want.get(name, 'nothing')}"


def exact_cast(value: Column, source: DataType, target: str, wanted: DataType) -> Column:
    """`value` as `target`, NULL where it cannot be: it does not parse, overflows, or a fraction would become an integer. Decimals round."""
    if source == wanted:
        return value
    converted = value.try_cast(target)
    loses = isinstance(source, FractionalType) and isinstance(wanted, IntegralType)
    return F.when(converted.cast(source) == value, converted) if loses else converted


def to_contract(frame: DataFrame, table: Table) -> DataFrame:
    """A computed frame in the contract's columns, types and order. Raises SchemaMismatch when the columns are not the contract's.

    Casts are Spark's own under ANSI: a value that does not fit fails the query.
    """
    found, wanted = {name.lower() for name in frame.columns}, {name.lower() for name in names(table)}
    if found != wanted or len(frame.columns) != len(names(table)):
        raise SchemaMismatch(
            f"{table.name}: its SQL gives columns {', '.join(frame.columns)}; {table.file} has {', '.join(names(table))}. Make the two agree"
        )
    try:
        return frame.select(*(column(item.name).cast(item.type).alias(item.name) for item in table.columns))
    except AnalysisException as refused:
        raise SchemaMismatch(f"{table.name}: its SQL gives a type that {table.file} cannot take ({refused.getCondition()})") from None


def latest_per_key(rows: DataFrame, table: Table, sequence: str, deleted: str, *, content: Sequence[str]) -> DataFrame:
    """One row per key: the greatest by (sequence, operation, digest of the columns `content`). A delete beats an upsert of the same sequence;
    NULL sequences are smallest."""
    keys, columns = table.key, names(table)
    ranked = rows.withColumn("_order", F.struct(column(sequence), column(deleted), row_digest(rows, content)))
    kept = [*columns, deleted, "_order"]
    best = ranked.groupBy(*(column(key).alias(f"_key_{key}") for key in keys)).agg(
        F.max_by(F.struct(*(column(name) for name in kept)), F.col("_order")).alias("_best")
    )
    return best.select(*(F.col(f"_best.`{name}`").alias(name) for name in kept))


def change_set(current: DataFrame, wanted: DataFrame, key: Sequence[str], columns: Sequence[str]) -> DataFrame:
    """What turns `current` into `wanted`: one row per key of either, in `columns` and `_change` (insert, update, delete, same).

    Rows are compared null-safely over all `columns`. A deleted row carries its old values; a row that stays the same its key alone.
    """
    old = current.select(F.struct(*(column(name) for name in columns)).alias(_OLD))
    new = wanted.select(F.struct(*(column(name) for name in columns)).alias(_NEW))
    same_key = F.lit(True)
    for name in key:
        same_key = same_key & F.col(f"{_OLD}.`{name}`").eqNullSafe(F.col(f"{_NEW}.`{name}`"))
    change = F.when(F.col(_OLD).isNull(), "insert").when(F.col(_NEW).isNull(), "delete").when(F.col(_OLD).eqNullSafe(F.col(_NEW)), "same")
    both = old.join(new, same_key, "full_outer").withColumn(CHANGE, change.otherwise("update"))
    value = F.coalesce(F.col(_NEW), F.col(_OLD))
    kept = [value.getField(name) if name in key else F.when(F.col(CHANGE) != "same", value.getField(name)) for name in columns]
    return both.select(*(item.alias(name) for item, name in zip(kept, columns, strict=True)), F.col(CHANGE))


def only_keys(rows: DataFrame, keys: DataFrame, key: Sequence[str]) -> DataFrame:
    """The rows whose key is in `keys` (which may hold a key several times)."""
    return _by_key(rows, keys, key, "left_semi")


def without_keys(rows: DataFrame, keys: DataFrame, key: Sequence[str]) -> DataFrame:
    """The rows whose key is not in `keys`."""
    return _by_key(rows, keys, key, "left_anti")


def _by_key(rows: DataFrame, keys: DataFrame, key: Sequence[str], how: str) -> DataFrame:
    # renamed: a frame joined with one made of itself cannot tell its columns apart. <=>: a key part may be NULL
    other = keys.select(*(column(name).alias(f"_other_{position}") for position, name in enumerate(key)))
    same = F.lit(True)
    for position, name in enumerate(key):
        same = same & column(name).eqNullSafe(F.col(f"_other_{position}"))
    return rows.join(other, same, how)


def laid_over(rows: DataFrame, upserts: DataFrame, deletes: DataFrame, key: Sequence[str]) -> DataFrame:
    """`rows` as they will be once a change set is applied, in the columns of `upserts`."""
    columns = upserts.columns
    stay = without_keys(rows, upserts.select(*key).unionByName(deletes.select(*key)), key)
    known = {field.name for field in stay.schema.fields}
    kinds = {field.name: field.dataType for field in upserts.schema.fields}
    return stay.select(*(column(name) if name in known else F.lit(None).cast(kinds[name]).alias(name) for name in columns)).unionByName(upserts)


@contextmanager
def computed_once(frame: DataFrame) -> Iterator[DataFrame]:
    """The frame of `checkpointed`, until the block ends."""
    kept = checkpointed(frame)
    try:
        yield kept
    finally:
        release(kept)


def checkpointed(frame: DataFrame) -> DataFrame:
    """The frame computed at its first use and kept on the disks of two executors until it is `released`; it is never computed again.

    (Where Spark plans anew while it runs, all but its last step are computed by the call.) What is planned on it starts from a single leaf. When
    both executors are lost, its readers fail.
    """
    return frame.localCheckpoint(eager=False, storageLevel=StorageLevel.DISK_ONLY_2)


def release(kept: DataFrame) -> None:
    """Free what `checkpointed` holds; what is planned on it fails from now on."""
    kept._jdf.queryExecution().analyzed().rdd().unpersist(False)


def fields_of(schema: StructType, wanted: Sequence[str]) -> StructType:
    """Some columns of a schema, in the order of `wanted`."""
    by_name: dict[str, StructField] = {field.name: field for field in schema.fields}
    return StructType([by_name[name] for name in wanted])
