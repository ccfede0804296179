"""`sluice sql` on the laptop: the certified Delta versions, read by deltalake over the emulator's S3, in an in-memory DuckDB."""

from collections.abc import Mapping
from typing import Any

import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import DeltaProtocolError

from cli.errors import CommandError
from cli.queries import DELETED, Answer, Query, Read, rows_of
from shared.core.layout import table_path
from shared.spec.lake import Table

DIALECT = "duckdb"


class Duck:
    """Engine over Delta tables below `root`, a folder or an s3:// address. Never writes: delta-rs must not, where Spark does."""

    dialect = DIALECT

    def __init__(self, root: str, storage: Mapping[str, str]) -> None:
        self._root, self._storage = root, dict(storage)

    def run(self, query: Query) -> Answer:
        """Raises CommandError with the engine's own words."""
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for number, read in enumerate(query.reads):
                self._register(connection, f"sluice_read_{number}", read)
            # Only now: nothing but the tables above is to be read, and no setting changed.
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            try:
                found = connection.sql(query.text).to_arrow_table()
            except duckdb.Error as refused:
                raise CommandError(f"sluice sql: {refused}") from refused
        return Answer(columns=tuple(found.column_names), rows=rows_of(found), notes=())

    def stored(self, table: Table, version: int) -> int:
        """Rows in the table's files, whatever readers see of them."""
        rows: int = self._delta(table, version).to_pyarrow_dataset().count_rows()
        return rows

    def _delta(self, table: Table, version: int) -> DeltaTable:
        return DeltaTable(f"{self._root}/{table_path(table)}", version=version, storage_options=self._storage)

    def _register(self, connection: duckdb.DuckDBPyConnection, name: str, read: Read) -> None:
        try:
            rows: Any = self._delta(read.table, read.version).to_pyarrow_dataset()
        except DeltaProtocolError as unknown:  # a bronze table whose column was widened
            raise CommandError(f"sluice sql: {read.table.name}: {unknown}; ask the silver table that is loaded from it") from unknown
        connection.register(name, rows)
        layer, table = read.table.name.split(".", 1)
        deleted = DELETED in rows.schema.names
        columns = f"* EXCLUDE ({DELETED})" if deleted else "*"
        # A name derived from the contract, and a batch id derived from it: neither is the user's text.
        where = f" WHERE NOT {DELETED}" if deleted else f" WHERE _batch_id <= '{read.last_batch}'" if read.last_batch else ""
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{layer}"')
        connection.execute(f'CREATE VIEW "{layer}"."{table}" AS SELECT {columns} FROM {name}{where}')


def storage_options(emulated: Mapping[str, str]) -> Mapping[str, str]:
    """deltalake's own words for the emulator."""
    return {**emulated, "AWS_ALLOW_HTTP": "true", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false"}
