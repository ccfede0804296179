"""`sluice sql` on the laptop: the certified Delta versions, read by deltalake over S3, in an in-memory DuckDB. And bronze, anywhere."""

from collections.abc import Callable, Mapping
from functools import reduce
from operator import and_
from typing import Any

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types
import pyarrow.dataset as ds  # type: ignore[import-untyped]
from deltalake import DeltaTable
from deltalake.exceptions import DeltaProtocolError
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import PyFileSystem  # type: ignore[import-untyped]

from cli.errors import CommandError
from cli.queries import DELETED, Answer, Query, Read, rows_of
from shared.core.layout import table_path
from shared.spec.lake import Table

DIALECT = "duckdb"
_WIDENING, _PARTITION = "typeWidening", "partition."


class Duck:
    """Engine over Delta tables below `root`, a folder or an s3:// address. Never writes: delta-rs must not, where Spark does."""

    dialect = DIALECT

    def __init__(self, root: str, storage: Mapping[str, str] | Callable[[], Mapping[str, str]]) -> None:
        self._root, self._storage = root, storage

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
        rows: int = self._opened(table, version).count_rows()
        return rows

    def _register(self, connection: duckdb.DuckDBPyConnection, name: str, read: Read) -> None:
        try:
            rows = self._opened(read.table, read.version)
        except DeltaProtocolError as unknown:
            raise CommandError(f"sluice sql: {read.table.name}: {unknown}") from unknown
        connection.register(name, rows)
        layer, table = read.table.name.split(".", 1)
        deleted = DELETED in rows.schema.names
        columns = f"* EXCLUDE ({DELETED})" if deleted else "*"
        # A name derived from the contract, and a batch id derived from it: neither is the user's text.
        where = f" WHERE NOT {DELETED}" if deleted else f" WHERE _batch_id <= '{read.last_batch}'" if read.last_batch else ""
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{layer}"')
        connection.execute(f'CREATE VIEW "{layer}"."{table}" AS SELECT {columns} FROM {name}{where}')

    def _opened(self, table: Table, version: int) -> Any:
        path, storage = f"{self._root}/{table_path(table)}", dict(self._storage() if callable(self._storage) else self._storage)
        return _dataset(DeltaTable(path, version=version, storage_options=storage), path, storage)


def _dataset(table: DeltaTable, path: str, storage: dict[str, str]) -> Any:
    """A table's rows. Of one whose column was widened, as bronze's may be, deltalake reads none: Arrow reads its files, and casts."""
    features = set(table.protocol().reader_features or ())
    if _WIDENING not in features or features - {_WIDENING, "timestampNtz"}:
        return table.to_pyarrow_dataset()
    schema, parquet, files = pa.schema(table.schema().to_arrow()), ds.ParquetFileFormat(), PyFileSystem(DeltaStorageHandler(path, storage))
    added = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    fragments = [parquet.make_fragment(file["path"], filesystem=files, partition_expression=_partition(file, schema)) for file in added]
    return ds.FileSystemDataset(fragments, schema, parquet, files)


def _partition(file: Mapping[str, Any], schema: pa.Schema) -> ds.Expression | None:
    """What the table says of every row of a file, which has no such column itself."""
    values = {name.removeprefix(_PARTITION): value for name, value in file.items() if name.startswith(_PARTITION)}
    same = [ds.field(name) == pa.scalar(value, schema.field(name).type) for name, value in values.items()]
    return reduce(and_, same) if same else None


def storage_options(emulated: Mapping[str, str]) -> Mapping[str, str]:
    """deltalake's own words for the emulator."""
    return {**emulated, "AWS_ALLOW_HTTP": "true", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false"}


def own_options(region: str) -> Mapping[str, str]:
    """deltalake's own words for whoever asks on AWS, as boto3 knows them. Raises NoCredentialsError."""
    import boto3
    from botocore.exceptions import NoCredentialsError

    found = boto3.session.Session(region_name=region).get_credentials()
    if found is None:
        raise NoCredentialsError
    frozen = found.get_frozen_credentials()
    token = {"AWS_SESSION_TOKEN": frozen.token} if frozen.token else {}
    return {"AWS_ACCESS_KEY_ID": str(frozen.access_key), "AWS_SECRET_ACCESS_KEY": str(frozen.secret_key), "AWS_REGION": region, **token}
