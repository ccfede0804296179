"""Files and snapshots in a contract: what is compiled of them, and each refusal with its place and its fix."""

from dataclasses import replace

import pytest

from compiler import compile_lake
from tests.unit.compiler_refusals import Wrong, copied, edit, line_of, problems_of, spoil

RATES = "bronze/fx_rates.yaml"
COLUMNS = """schema:
  - name: fx_rates
    logicalType: object
    properties:
      - {name: currency, logicalType: string, physicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: rate_date, logicalType: date, physicalType: date, required: true, primaryKey: true, primaryKeyPosition: 2}
      - {name: rate_to_usd, logicalType: number, physicalType: 'decimal(18,8)', required: true}
      - {name: is_deleted, logicalType: boolean, physicalType: boolean, required: true}
      - {name: updated_at, logicalType: timestamp, physicalType: timestamp, required: true}
    quality:
      - {id: enough, metric: rowCount, mustBeGreaterThan: 0}
customProperties:
  - property: sluice
    value:
      load: append
"""
HEAD = """apiVersion: v3.1.0
kind: DataContract
id: bronze.fx_rates
name: Exchange rates
version: 1.0.0
status: active
team: {name: finance}
"""
FILES = (
    HEAD
    + """servers:
  - {server: drop, type: s3, environment: local, location: 's3://drop/local/rates/', format: csv}
  - {server: drop, type: s3, environment: dev, location: 's3://drop/dev/rates', format: json, delimiter: new_line}
  - {server: drop, type: s3, environment: prod, location: 's3://drop', format: parquet}
"""
    + COLUMNS
    + """      files: {pattern: '**/rates_*.csv'}
      reject_tolerance: {share: 0.01, rows: 5}
"""
)
SNAPSHOT = (
    HEAD
    + """servers:
  - {server: shop, type: postgres, environment: local, host: 127.0.0.1, port: 5432, database: shop, schema: sales}
  - {server: shop, type: postgres, environment: dev, host: dev.example.com, port: 5432, database: shop, schema: sales}
  - {server: shop, type: postgres, environment: prod, host: example.com, port: 5432, database: shop, schema: sales}
"""
    + COLUMNS
    + """      source: sales.fx_rates
      snapshot: {min_share: 0.5, deleted: is_deleted, at: updated_at}
      reject_tolerance: {share: 0.01, rows: 5}
"""
)
WATERMARK = "watermark: {column: updated_at, lookback: 2h, safety_lag: 5m, start_at: '2024-01-01T00:00:00Z', max_window: 31d}"


def wrong(name, old, new, at, message, fix):
    return Wrong(name, RATES, old, new, at, message, fix)


OF_FILES = [
    wrong("two ways", "      files:", f"      {WATERMARK}\n      files:", "files:", "'files' beside 'watermark'", "Keep one of watermark, snapshot"),
    wrong("a source", "      files:", "      source: sales.rates\n      files:", "source:", "'source' of a table of files", "Leave it out"),
    wrong("unknown key", "{pattern:", "{glob: x, pattern:", "glob: x", "unknown key 'glob' in files", "pattern"),
    wrong("no pattern", "{pattern: '**/rates_*.csv'}", "{max_objects: 5}", "max_objects", "'pattern' is missing", "rates/*.csv"),
    wrong("a set of signs", "rates_*.csv", "rates_[0-9].csv", "rates_[", "is not a pattern", "stay within a folder"),
    wrong("a pattern from the root", "'**/", "'/**/", "'/**/", "is not a pattern", "from the location on"),
    wrong("a pattern upwards", "'**/", "'../", "'../", "is not a pattern", "from the location on"),
    wrong("no objects", "csv'}", "csv', max_objects: 0}", "max_objects", "'max_objects' cannot be 0", "from 1 to 10,000"),
    wrong("a database", "type: s3, environment: dev", "type: postgres, environment: dev", "type: postgres", "files are not read from", "type: s3"),
    wrong("no location", "location: 's3://drop', ", "", "environment: prod", "'location' is missing", "s3://bucket/folder"),
    wrong("a pattern as location", "'s3://drop'", "'s3://drop/*'", "s3://drop/*", "is not a folder on S3", "files.pattern"),
    wrong("another store", "'s3://drop'", "'gs://drop'", "gs://drop", "is not a folder on S3", "s3://bucket/folder"),
    wrong("no format", ", format: csv", "", "environment: local", "'format' is missing", "csv, json, parquet"),
    wrong("another format", "format: csv", "format: cvs", "format: cvs", "unknown format 'cvs'", "'csv'"),
    wrong("an array", "delimiter: new_line", "delimiter: array", "delimiter: array", "'delimiter' says how", "new_line"),
    wrong("a host", "format: csv", "format: csv, host: here", "host: here", "'host' of a server of type s3", "location and format"),
    wrong("parts", "      files:", "      parallel: {column: currency, parts: 2}\n      files:", "parallel:", "'parallel' with 'files'", "Leave"),
]
OF_SNAPSHOTS = [
    wrong("two ways", "      snapshot:", f"      {WATERMARK}\n      snapshot:", "snapshot:", "'snapshot' beside 'watermark'", "Keep one"),
    wrong("no way", "      snapshot:", "      # snapshot:", "value:", "'watermark' is missing", "or in its place snapshot, or files"),
    wrong("no source", "      source: sales.fx_rates\n", "", "value:", "'source' is missing", "schema.table"),
    wrong("no share", "min_share: 0.5, ", "", "snapshot:", "'min_share' is missing", "min_share: 0.5"),
    wrong("share of nothing", "min_share: 0.5", "min_share: 0", "snapshot:", "takes an empty table for everything deleted", "min_share: 0.5"),
    wrong("share above all", "min_share: 0.5", "min_share: 1.5", "snapshot:", "'min_share' cannot be 1.5", "from 0 to 1"),
    wrong("no deleted", "deleted: is_deleted, ", "", "snapshot:", "'deleted' is missing", "boolean column that the engine fills"),
    wrong("deleted of another type", "deleted: is_deleted", "deleted: rate_to_usd", "snapshot:", "is decimal(18,8)", "boolean"),
    wrong("no at", ", at: updated_at", "", "snapshot:", "'at' is missing", "seen_at"),
    wrong("at of no column", "at: updated_at", "at: updated", "snapshot:", "'updated' (at) is not a column", "'updated_at'"),
    wrong("at in the key", "at: updated_at", "at: rate_date", "snapshot:", "'rate_date' is part of the key", "a column of its own"),
    wrong("unknown key", "at: updated_at", "at: updated_at, by: x", "by: x", "unknown key 'by' in snapshot", "min_share"),
    wrong("a bucket", "type: postgres, environment: dev", "type: s3, environment: dev", "type: s3", "only files are read from", "postgres"),
    wrong("a format", "host: dev.example.com", "format: csv", "format: csv", "'format' of a server of type postgres", "Leave it out"),
    wrong(
        "parts",
        "      snapshot:",
        "      parallel: {column: currency, parts: 2}\n      snapshot:",
        "parallel:",
        "'parallel' with 'snapshot'",
        "Leave",
    ),
]


def lake_with(contract, tmp_path):
    lake = copied(tmp_path)
    (lake / RATES).write_text(contract)
    return lake


def test_files_are_compiled_with_a_location_for_every_environment(tmp_path):
    """A bucket needs no secret: a role reads it."""
    source = compile_lake(lake_with(FILES, tmp_path)).table("bronze.fx_rates").source

    assert (None, None, "**/rates_*.csv", 1000) == (source.watermark, source.snapshot, source.files.pattern, source.files.max_objects)
    assert "**/rates_*.csv" == source.relation
    places = {server.environment: (server.type, server.location, server.format) for server in source.servers}
    assert ("s3", "s3://drop/local/rates", "csv") == places["local"]
    assert ("s3", "s3://drop/dev/rates", "json") == places["dev"]
    assert ("s3", "s3://drop", "parquet") == places["prod"]


def test_a_snapshot_is_compiled_with_the_columns_that_the_engine_fills(tmp_path):
    """They are the contract's, and the source need not have them."""
    source = compile_lake(lake_with(SNAPSHOT, tmp_path)).table("bronze.fx_rates").source

    assert (None, None, 0.5) == (source.watermark, source.files, source.snapshot.min_share)
    assert ("is_deleted", "updated_at") == source.made


def test_another_pattern_is_another_contract(tmp_path):
    """A pending batch that was read under the old one is read again."""
    lake = lake_with(FILES, tmp_path)
    before = compile_lake(lake).table("bronze.fx_rates")
    edit(lake / RATES, "rates_*", "rate_*")

    after = compile_lake(lake).table("bronze.fx_rates")

    assert before.contract_hash != after.contract_hash


@pytest.mark.parametrize(
    ("contract", "case"),
    [*((FILES, case) for case in OF_FILES), *((SNAPSHOT, case) for case in OF_SNAPSHOTS)],
    ids=[f"files: {case.name}" for case in OF_FILES] + [f"snapshot: {case.name}" for case in OF_SNAPSHOTS],
)
def test_it_is_refused_with_its_place_and_its_fix(contract, case, tmp_path):
    """A reader who knows nothing of the compiler finds the line, and what to write there."""
    lake = lake_with(contract, tmp_path)
    spoil(lake, replace(case, file=RATES))

    found = problems_of(lake)

    matching = [problem for problem in found if case.message in problem.message and problem.file == str(lake / RATES)]
    assert matching, "\n".join(map(str, found))
    assert line_of(lake / RATES, case.at) == matching[0].line, matching[0]
    assert case.fix in matching[0].fix, matching[0]


def test_a_snapshot_without_a_key_is_refused(tmp_path):
    """What is absent is told by key."""
    keyless = SNAPSHOT
    for position in (1, 2):
        keyless = keyless.replace(f", primaryKey: true, primaryKeyPosition: {position}", "")

    found = problems_of(lake_with(keyless, tmp_path))

    assert any("bronze.fx_rates has no primary key" in problem.message for problem in found)
