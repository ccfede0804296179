"""The Glue catalogue: what Athena and friends see, and who of them may. Of bronze the rejects alone are in it; accepted rows are read in silver."""

from collections.abc import Mapping, Sequence
from typing import get_args

from aws_cdk import Stack
from aws_cdk import aws_glue as glue
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.limits import refuse_too_large
from infra.names import Shelf, stack_name
from infra.permissions import Permissions, Published
from infra.settings import cdk_environment
from shared.core.layout import rejects_path, table_path
from shared.spec.environment import Environment
from shared.spec.lake import Lake, Table

FIRST_REJECTS = "2020-01-01"  # projected days begin here; a day without rejects costs nothing


class CatalogueStack(Stack):
    """One database per layer that is published and one for rejects, a table per contract, and Lake Formation's permissions on them.

    Permissions stand beside what they are on: CloudFormation then takes them from a table before the table goes.
    """

    def __init__(self, scope: Construct, *, environment: Environment, lake: Lake, bucket: s3.IBucket, key: kms.IKey) -> None:
        super().__init__(scope, stack_name(environment, "catalogue"), env=cdk_environment(environment), termination_protection=environment.keeps_data)
        self._bucket = bucket
        permissions = Permissions(self, environment=environment, lake=lake, key=key)
        databases: Mapping[Shelf, glue.CfnDatabase] = {shelf: self._database(environment, shelf) for shelf in get_args(Shelf)}
        permissions.before(databases.values())
        published = [Published(shelf=shelf, table=table, database=databases[shelf]) for table in lake.tables for shelf in (_shelf(table),)]
        for one in published:
            self._rejects(one) if one.shelf == "rejects" else self._table(one)
        permissions.on(databases, published)
        refuse_too_large(self, lake)

    def _database(self, environment: Environment, shelf: Shelf) -> glue.CfnDatabase:
        return glue.CfnDatabase(
            self,
            shelf.title(),
            catalog_id=self.account,
            database_input=glue.CfnDatabase.DatabaseInputProperty(
                name=environment.database(shelf), description=f"The {shelf} {'of' if shelf == 'rejects' else 'tables of'} {environment.prefix}"
            ),
        )

    def _table(self, one: Published) -> None:
        """Athena takes partitions and statistics from the Delta log: a Delta table registers its columns and no partition keys."""
        location = self._bucket.s3_url_for_object(f"{table_path(one.table)}/")
        self._register(
            one,
            parameters={"EXTERNAL": "TRUE", "table_type": "DELTA", "spark.sql.sources.provider": "delta", "contract.version": one.table.version},
            storage=glue.CfnTable.StorageDescriptorProperty(
                columns=_columns(one.table),
                location=location,
                # What Spark itself registers for a data source table: Athena and Spark read the Delta log and ignore both formats.
                input_format="org.apache.hadoop.mapred.SequenceFileInputFormat",
                output_format="org.apache.hadoop.hive.ql.io.HiveSequenceFileOutputFormat",
                serde_info=glue.CfnTable.SerdeInfoProperty(
                    serialization_library="org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
                    parameters={"serialization.format": "1", "path": location},
                ),
            ),
        )

    def _rejects(self, one: Published) -> None:
        """A batch's rejects are lines of JSON in a folder by day. Days are projected: no crawler, and a day is found when it is there."""
        location = self._bucket.s3_url_for_object(f"{rejects_path(one.table)}/")
        text = dict.fromkeys(("table", "batch_id", "run_id", "row_id"), "string")
        self._register(
            one,
            parameters={
                "EXTERNAL": "TRUE",
                "projection.enabled": "true",
                "projection.dt.type": "date",
                "projection.dt.format": "yyyy-MM-dd",
                "projection.dt.range": f"{FIRST_REJECTS},NOW+1DAYS",
                "storage.location.template": f"{location}dt=${{dt}}/",
            },
            storage=glue.CfnTable.StorageDescriptorProperty(
                columns=[
                    glue.CfnTable.ColumnProperty(name=name, type=type)
                    for name, type in {"reasons": "array<string>", "original": "map<string,string>", **text}.items()
                ],
                location=location,
                input_format="org.apache.hadoop.mapred.TextInputFormat",
                output_format="org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                serde_info=glue.CfnTable.SerdeInfoProperty(serialization_library="org.openx.data.jsonserde.JsonSerDe"),
            ),
            partition_keys=[glue.CfnTable.ColumnProperty(name="dt", type="date")],
        )

    def _register(
        self,
        one: Published,
        *,
        parameters: Mapping[str, str],
        storage: glue.CfnTable.StorageDescriptorProperty,
        partition_keys: Sequence[glue.CfnTable.ColumnProperty] | None = None,
    ) -> None:
        glue.CfnTable(
            self,
            one.label,
            catalog_id=self.account,
            database_name=one.database.ref,
            table_input=glue.CfnTable.TableInputProperty(
                name=one.name,
                description=one.table.title,
                owner=one.table.owner,
                table_type="EXTERNAL_TABLE",
                parameters=dict(parameters),
                storage_descriptor=storage,
                partition_keys=partition_keys,
            ),
        )


def _shelf(table: Table) -> Shelf:
    return "rejects" if table.layer == "bronze" else table.layer


def _columns(table: Table) -> list[glue.CfnTable.ColumnProperty]:
    columns = [glue.CfnTable.ColumnProperty(name=column.name, type=hive_type(column.type), comment=column.classification) for column in table.columns]
    if table.load == "merge":
        deleted = glue.CfnTable.ColumnProperty(name="_deleted", type="boolean", comment="true: the source deleted this key; filter it out")
        return [deleted, *columns]
    return columns


def hive_type(spark_type: str) -> str:
    """Glue's spelling of a Spark type: the same, but for timestamps, of which it knows one."""
    return spark_type.replace("timestamp_ntz", "timestamp").replace("timestamp_ltz", "timestamp").replace(" ", "")
