"""`sluice sql` on AWS: the query in Athena, its `layer.table` names turned into Glue databases and tombstones left out."""

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow  # type: ignore[import-untyped]  # it ships no types
from botocore.exceptions import ClientError
from sqlglot import exp

from cli.errors import CommandError, Misused
from cli.queries import DELETED, Answer, Query, Read, rows_of, tables_of
from infra.names import ANSWERS
from shared.core.layout import table_path
from shared.core.ports import DeltaLog
from shared.spec.environment import Environment

DIALECT = "athena"
Reader = Callable[[str], Any]  # SQL -> a pandas DataFrame


class Athena:
    """Engine over Athena. It reads the latest version of a table, not a named one: where that is not the certified one, a note says so."""

    dialect = DIALECT

    def __init__(self, environment: Environment, log: DeltaLog, *, reader: Reader | None = None) -> None:
        self._environment, self._log = environment, log
        self._reader = reader or self._read

    def run(self, query: Query) -> Answer:
        """Raises Misused for bronze, CommandError with Athena's own words."""
        found = pyarrow.Table.from_pandas(self._reader(rewritten(query, self._environment)), preserve_index=False)
        return Answer(columns=tuple(found.column_names), rows=rows_of(found), notes=tuple(self._notes(query.reads)))

    def _notes(self, reads: Iterable[Read]) -> Iterable[str]:
        for read in reads:
            latest = self._log.latest(table_path(read.table))
            if latest != read.version:
                yield f"{read.table.name}: Athena read its latest version {latest}; certified is {read.version}. A run is on its way, or one died."

    def _read(self, sql: str) -> Any:
        # Imported when asked for: it takes seconds.
        import awswrangler
        import boto3

        environment = self._environment
        try:
            return awswrangler.athena.read_sql_query(
                sql,
                database=environment.database("gold"),
                ctas_approach=False,
                s3_output=f"s3://{environment.bucket}/{ANSWERS}/",
                dtype_backend="pyarrow",
                boto3_session=boto3.session.Session(region_name=environment.region),
            )
        except awswrangler.exceptions.QueryFailed as refused:
            raise CommandError(f"sluice sql: Athena: {refused}") from refused
        except ClientError as refused:
            if refused.response["Error"]["Code"] != "InvalidRequestException":
                raise
            raise CommandError(f"sluice sql: Athena: {refused.response['Error']['Message']}") from refused


def rewritten(query: Query, environment: Environment) -> str:
    """The query in Athena's words."""
    reads = {read.table.name: read for read in query.reads}
    parsed = query.parsed.copy()
    for node in tables_of(parsed):
        read = reads[f"{node.db}.{node.name}".lower()]
        if read.table.layer == "bronze":
            raise Misused(f"sluice sql: {read.table.name}: bronze holds rejected rows and is not in the catalogue; ask silver or gold")
        alias = node.alias_or_name
        node.set("db", exp.to_identifier(environment.database(read.table.layer)))
        if read.table.load == "merge":
            node.replace(_living(node, read, alias))
        elif not node.alias:
            # What the query calls silver.orders.id is now another database's column.
            node.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
    _drop_layers(parsed, reads)
    return parsed.sql(dialect=DIALECT)


def _living(node: exp.Table, read: Read, alias: str) -> exp.Subquery:
    source = exp.Table(this=node.this.copy(), db=node.args["db"].copy())
    columns = [exp.column(column.name) for column in read.table.columns]
    return exp.select(*columns).from_(source).where(exp.not_(exp.column(DELETED))).subquery(alias)


def _drop_layers(parsed: exp.Query, reads: Iterable[str]) -> None:
    """`silver.orders.id` becomes `orders.id`: the table goes by its alias now."""
    layers = {name.split(".", 1)[0] for name in reads}
    for column in parsed.find_all(exp.Column):
        if column.args.get("db") is not None and column.text("db").lower() in layers:
            column.set("db", None)
