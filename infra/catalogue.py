"""The Glue catalogue: what Athena and friends see. Silver and gold only; bronze holds rejected rows and is nobody's to query."""

from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_glue as glue
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.settings import cdk_environment
from shared.core.layout import table_path
from shared.spec.environment import Environment
from shared.spec.lake import Lake, Layer, Table

PUBLISHED: Sequence[Layer] = ("silver", "gold")


class CatalogueStack(Stack):
    """One database per published layer, one Delta table per contract."""

    def __init__(self, scope: Construct, *, environment: Environment, lake: Lake, bucket: s3.IBucket) -> None:
        super().__init__(scope, f"{environment.prefix}-catalogue", env=cdk_environment(environment), termination_protection=environment.keeps_data)
        databases = {layer: self._database(environment, layer) for layer in PUBLISHED}
        for table in lake.tables:
            if table.layer in databases:
                self._table(table, databases[table.layer], bucket)

    def _database(self, environment: Environment, layer: Layer) -> glue.CfnDatabase:
        return glue.CfnDatabase(
            self,
            layer.title(),
            catalog_id=self.account,
            database_input=glue.CfnDatabase.DatabaseInputProperty(
                name=environment.database(layer), description=f"The {layer} tables of {environment.prefix}"
            ),
        )

    def _table(self, table: Table, database: glue.CfnDatabase, bucket: s3.IBucket) -> None:
        """Athena takes partitions and statistics from the Delta log: a Delta table registers its columns and no partition keys."""
        location = bucket.s3_url_for_object(f"{table_path(table)}/")
        glue.CfnTable(
            self,
            "".join(part.title() for part in table.name.replace(".", "_").split("_")),
            catalog_id=self.account,
            database_name=database.ref,
            table_input=glue.CfnTable.TableInputProperty(
                name=table.name.split(".", 1)[1],
                description=table.title,
                owner=table.owner,
                table_type="EXTERNAL_TABLE",
                parameters={"EXTERNAL": "TRUE", "table_type": "DELTA", "spark.sql.sources.provider": "delta", "contract.version": table.version},
                storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                    columns=_columns(table),
                    location=location,
                    # What Spark itself registers for a data source table: Athena and Spark read the Delta log and ignore both formats.
                    input_format="org.apache.hadoop.mapred.SequenceFileInputFormat",
                    output_format="org.apache.hadoop.hive.ql.io.HiveSequenceFileOutputFormat",
                    serde_info=glue.CfnTable.SerdeInfoProperty(
                        serialization_library="org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
                        parameters={"serialization.format": "1", "path": location},
                    ),
                ),
            ),
        )


def _columns(table: Table) -> list[glue.CfnTable.ColumnProperty]:
    columns = [glue.CfnTable.ColumnProperty(name=column.name, type=hive_type(column.type), comment=column.classification) for column in table.columns]
    if table.load == "merge":
        deleted = glue.CfnTable.ColumnProperty(name="_deleted", type="boolean", comment="true: the source deleted this key; filter it out")
        return [deleted, *columns]
    return columns


def hive_type(spark_type: str) -> str:
    """Glue's spelling of a Spark type: the same, but for timestamps, of which it knows one."""
    return spark_type.replace("timestamp_ntz", "timestamp").replace("timestamp_ltz", "timestamp").replace(" ", "")
