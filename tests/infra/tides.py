"""A small lake by hand, of no trade that `lake/` knows: stacks are made from any lake."""

from datetime import UTC, datetime

from shared.spec.environment import Environment, Schedule, Secrets, Workers
from shared.spec.lake import Column, Files, Lake, Layer, Load, Rule, Server, Source, Table, Tolerance, Watermark


def environment(name="local", *, account="000000000000", keeps_data=False, schedule=True, enabled=False, worker="G.1X", count=2, **changes):
    return Environment(
        name=name,
        account=account,
        region="eu-west-1",
        keeps_data=keeps_data,
        max_windows=12,
        log_retention_days=30,
        workers=Workers(type=worker, count=count, timeout_minutes=60),
        schedule=Schedule(expression="cron(0 4 * * ? *)", time_zone="Europe/Berlin", enabled=enabled) if schedule else None,
        secrets=Secrets(mask_key=f"sluice/{name}/mask-key", servers={"tower": f"sluice/{name}/tower"}),
        **changes,
    )


def lake(*environments):
    """Tides: a source in two groups, silver merged from it, gold derived."""
    tides = table("bronze.tides", load="append", source=source())
    gauges = table("bronze.gauges", load="append", source=files_source(), group="slow")
    merged = table("silver.tides", load="merge", inputs=("bronze.tides",))
    daily = table("gold.daily_tides", load="derive", inputs=("silver.tides",), partitioned=True, owner="Coast Guard", rules=(fresh(),))
    environments = environments or (
        environment(),
        environment("dev", account="111111111111", enabled=True),
        environment("prod", account="222222222222", keeps_data=True, enabled=True, worker="G.2X", count=10),
    )
    return Lake(tables=(tides, gauges, merged, daily), environments={one.name: one for one in environments})


def table(name, *, load: Load, source=None, inputs=(), group="default", partitioned=False, owner="harbour", rules=()):
    layer: Layer = name.split(".")[0]
    return Table(
        name=name,
        layer=layer,
        load=load,
        title=f"Tides as {layer} knows them",
        version="1.0.0",
        owner=owner,
        file=f"lake/{name.replace('.', '/')}.yaml",
        group=group,
        columns=(
            column("gauge", "string", key=1),
            column("height_m", "decimal(6,3)"),
            column("measured_at", "timestamp"),
            column("measured_on", "date", partition=1 if partitioned else None),
        ),
        rules=rules,
        inputs=inputs,
        relationships=(),
        source=source,
        origin=inputs[0] if load == "merge" else None,
        sequence="measured_at" if load == "merge" else None,
        delete_when=None,
        history=None,
        sql="select * from silver.tides" if load == "derive" else None,
        affected_sql=None,
        zorder=(),
        contract_hash="c" * 64,
        definition_hash="d" * 64,
    )


def column(name, type, *, key=None, partition=None):
    return Column(name=name, type=type, required=True, key_position=key, partition_position=partition, classification=None, mask=None, lineage=())


def fresh(hours=36):
    """The newest measurement is at most so old."""
    return Rule(
        id="measured_at.freshness",
        kind="freshness",
        expectation="freshness",
        kwargs={"column": "measured_at", "max_age_seconds": hours * 3600},
        element="measured_at",
        severity="warning",
        mostly=1.0,
        limit=None,
        tolerance_written=False,
    )


def source():
    return Source(
        relation="harbour.tides",
        watermark=Watermark(column="measured_at", lookback=7200, safety_lag_seconds=300, start_at=datetime(2024, 1, 1, tzinfo=UTC), max_window=86400),
        reject_tolerance=Tolerance(share=0.01, rows=20),
        servers=(Server(name="tower", type="postgres", environment="local", host="127.0.0.1", port=5432, database="harbour", schema="public"),),
    )


def files_source():
    servers = tuple(
        Server(
            name="drop",
            type="s3",
            environment=name,
            host=None,
            port=None,
            database=None,
            schema=None,
            location=f"s3://harbour-drop/{name}/gauges",
            format="csv",
        )
        for name in ("local", "dev", "prod")
    )
    tolerance = Tolerance(share=0.01, rows=20)
    files = Files(pattern="*.csv", max_objects=100)
    return Source(relation="*.csv", watermark=None, reject_tolerance=tolerance, servers=servers, files=files)
