"""A small lake by hand, of no trade that `lake/` knows: stacks are made from any lake."""

from datetime import UTC, datetime

from shared.spec.environment import Environment, Network, Schedule, Secrets, Workers
from shared.spec.lake import Column, Files, Lake, Layer, Load, Rule, Server, Source, Table, Tolerance, Watermark

SIZED = {"ingest.slow": Workers(type="G.4X", count=20, timeout_minutes=240), "publish": Workers(type="G.1X", count=3, timeout_minutes=30)}


def environment(
    name="local",
    *,
    account="000000000000",
    keeps_data=False,
    schedule=True,
    enabled=False,
    worker="G.1X",
    count=2,
    groups=None,
    network=None,
    roles=None,
    **changes,
):
    return Environment(
        name=name,
        account=account,
        region="eu-west-1",
        keeps_data=keeps_data,
        max_windows=12,
        log_retention_days=30,
        workers=Workers(type=worker, count=count, timeout_minutes=60),
        groups=groups or {},
        network=network,
        roles=roles or {},
        admins=(f"arn:aws:iam::{account}:role/harbour-master",),
        schedule=Schedule(expression="cron(0 4 * * ? *)", time_zone="Europe/Berlin", enabled=enabled) if schedule else None,
        secrets=Secrets(mask_key=f"sluice/{name}/mask-key", servers={"tower": f"sluice/{name}/tower"}),
        **changes,
    )


def lake(*environments):
    """Tides: a source in two groups, silver merged from it, gold derived."""
    tides = table("bronze.tides", load="append", source=source(), readers=("steward",))
    gauges = table("bronze.gauges", load="append", source=files_source(), group="slow")
    merged = table("silver.tides", load="merge", inputs=("bronze.tides",), readers=("engineer", "steward"), classified="confidential")
    daily = table(
        "gold.daily_tides", load="derive", inputs=("silver.tides",), partitioned=True, readers=("analyst",), owner="Coast Guard", rules=(fresh(),)
    )
    keepers = table("gold.keepers", load="derive", inputs=("silver.tides",), readers=("steward",), classified="restricted")
    closed = table("gold.soundings", load="derive", inputs=("silver.tides",))
    quay = Network(vpc="vpc-0a1b2c3d", subnet="subnet-0a1b2c3d", zone="eu-west-1a", route_table="rtb-0a1b2c3d")
    environments = environments or (
        environment(),
        environment("dev", account="111111111111", enabled=True, roles=people("111111111111")),
        environment(
            "prod", account="222222222222", keeps_data=True, enabled=True, worker="G.2X", count=10, groups=SIZED, roles=people("222222222222")
        ),
        environment("quay", account="333333333333", schedule=False, network=quay),
    )
    return Lake(tables=(tides, gauges, merged, daily, keepers, closed), environments={one.name: one for one in environments})


def people(account):
    """Two analysts, an engineer, a steward."""
    names = {"analyst": ("ann", "ben"), "engineer": ("eve",), "steward": ("sam",)}
    return {role: tuple(f"arn:aws:iam::{account}:role/{name}" for name in given) for role, given in names.items()}


def table(name, *, load: Load, source=None, inputs=(), group="default", partitioned=False, readers=(), classified=None, owner="harbour", rules=()):
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
            column("gauge", "string", key=1, classification=classified),
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
        domain="Sea",
        readers=readers,
    )


def column(name, type, *, key=None, partition=None, classification=None):
    return Column(
        name=name, type=type, required=True, key_position=key, partition_position=partition, classification=classification, mask=None, lineage=()
    )


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
        for name in ("local", "dev", "prod", "quay")
    )
    tolerance = Tolerance(share=0.01, rows=20)
    files = Files(pattern="*.csv", max_objects=100)
    return Source(relation="*.csv", watermark=None, reject_tolerance=tolerance, servers=servers, files=files)
