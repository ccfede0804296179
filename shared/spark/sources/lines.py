"""Owns taking text apart: objects to numbered lines, lines to columns. A line that cannot be read keeps its place and no value.

An object is read whole by one task, so that its lines can be numbered; that bounds its size (`LARGEST_BYTES`, less when it is compressed).
"""

import csv
from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from shared.spark.frames import names
from shared.spark.literal_rows import literal_rows
from shared.spec.lake import Table

UNREAD = "_unread"  # JSON of where a line that cannot be read stands; NULL beside rows that can
LARGEST_BYTES = 256 * 1024**2
LARGEST_COMPRESSED_BYTES = 32 * 1024**2

_PATH, _LINE, _TEXT, _BROKEN, _PARSED = "_path", "_line", "_text", "_broken_line", "_parsed"
_CSV = {"mode": "PERMISSIVE", "quote": '"', "escape": '"', "columnNameOfCorruptRecord": "_corrupt"}  # quotes as RFC 4180 has them
_GLOB = str.maketrans({sign: f"\\{sign}" for sign in "\\*?[]{}"})


def lines_of(spark: SparkSession, paths: Sequence[str]) -> DataFrame:
    """One row per line that is not blank: `_path`, `_line` (from 1), `_text`, `_broken_line` (it is not UTF-8)."""
    whole = spark.read.text([literal_path(path) for path in paths], wholetext=True)
    texts = whole.select(
        F.col("_metadata.file_path").alias(_PATH),
        F.expr("is_valid_utf8(value)").alias("_valid"),
        F.split(F.regexp_replace("value", "^\ufeff", ""), "\r\n|\n|\r").alias("_lines"),
    )
    numbered = texts.select(_PATH, "_valid", F.posexplode("_lines").alias("_before", _TEXT))
    line = (F.col("_before") + 1).alias(_LINE)
    # what is not UTF-8 has become U+FFFD; in a valid text that is a character like any other
    broken = (~F.col("_valid") & F.contains(_TEXT, F.lit("\ufffd"))).alias(_BROKEN)
    return numbered.select(_PATH, line, _TEXT, broken).where(F.trim(_TEXT) != "")


def csv_header(line: str) -> tuple[str, ...]:
    """Column names of a header line, lower-case."""
    fields = next(csv.reader([line.removeprefix("\ufeff")]), [])
    return tuple(field.strip().lower() for field in fields)


def csv_columns(lines: DataFrame, header: Sequence[str], table: Table) -> DataFrame:
    """The contract's columns as texts, of lines under one header. A line that has more or fewer fields, or a quote that does not end, is broken."""
    fields = [f"f{position}" for position in range(len(header))]
    schema = ", ".join(f"{name} string" for name in [*fields, "_corrupt"])
    parsed = lines.where(F.col(_LINE) > 1).withColumn(_PARSED, F.from_csv(_TEXT, schema, _CSV))
    open_quote = F.length(F.regexp_replace(_TEXT, '[^"]', "")) % 2 == 1
    broken = F.col(_BROKEN) | F.col(f"{_PARSED}._corrupt").isNotNull() | open_quote
    value = {name: F.col(f"{_PARSED}.{field}") for name, field in zip(header, fields, strict=True)}
    return _told(parsed.withColumn(_BROKEN, broken), value, table)


def json_columns(lines: DataFrame, table: Table) -> DataFrame:
    """The contract's columns as texts, of lines that are one JSON object each; names are as the contract spells them."""
    # the parser stops where its value ends: only a line that is whole in both of these has nothing behind its object
    listed = F.try_parse_json(F.concat(F.lit("["), _TEXT, F.lit("]")))
    named = F.try_parse_json(F.concat(F.lit('{"v":'), _TEXT, F.lit("}")))
    parsed = lines.withColumn(_PARSED, F.when(listed.isNotNull(), named))
    an_object = F.schema_of_variant(F.try_variant_get(_PARSED, "$.v", "variant")).startswith("OBJECT")
    broken = F.col(_BROKEN) | ~F.coalesce(an_object, F.lit(False))
    value = {name.lower(): F.try_variant_get(_PARSED, f"$.v.{name}", "string") for name in names(table)}
    return _told(parsed.withColumn(_BROKEN, broken), value, table)


def with_places(rows: DataFrame, places: Mapping[str, tuple[str, str]], table: Table) -> DataFrame:
    """The contract's columns and `_unread`. `places` holds object and ETag by path. The text of a line stays out when a column is classified."""
    schema = StructType([StructField(name, StringType()) for name in ("_known_path", "_object", "_etag")])
    known = literal_rows(rows.sparkSession, [(path, *place) for path, place in sorted(places.items())], schema)
    placed = rows.join(F.broadcast(known), F.col(_PATH) == F.col("_known_path"), "left")
    text = [] if any(column.classification for column in table.columns) else [F.col(_TEXT).alias("text")]
    place = F.struct(F.coalesce("_object", _PATH).alias("object"), F.col("_etag").alias("etag"), F.col(_LINE).alias("line"), *text)
    unread = F.when(F.col(_BROKEN), F.to_json(place)).alias(UNREAD)
    return placed.select(*(F.col(f"`{name}`") for name in names(table)), unread)


def literal_path(path: str) -> str:
    """A path in which no sign is taken for a pattern."""
    return path.translate(_GLOB)


def _told(parsed: DataFrame, value: Mapping[str, Column], table: Table) -> DataFrame:
    """Values of the lines that can be read; a column that is not given is NULL."""
    absent = F.lit(None).cast("string")
    columns = [F.when(~F.col(_BROKEN), value.get(name.lower(), absent)).alias(name) for name in names(table)]
    return parsed.select(_PATH, _LINE, _TEXT, _BROKEN, *columns)
