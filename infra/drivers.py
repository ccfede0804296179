"""The JDBC drivers: which each type of server needs, pinned, and the jars that a lake's ingest job takes along. Knows no CDK.

Glue carries some drivers itself, in versions of its own choosing; what was tested is what ships. Set-up resolves them into `.cache/jars`.
"""

from collections.abc import Mapping
from pathlib import Path

from infra.bundling import ROOT, BundleError
from shared.spec.lake import Lake

DRIVERS: Mapping[str, str] = {
    "postgres": "org.postgresql:postgresql:42.7.14",
    "redshift": "com.amazon.redshift:redshift-jdbc42:2.3.0",
    "snowflake": "net.snowflake:snowflake-jdbc:4.4.1",
}
JARS = ROOT / ".cache" / "jars"


def driver_jars(lake: Lake, environment: str, *, jars: Path = JARS) -> tuple[Path, ...]:
    """The driver of every type of server that the lake reads in this environment, by type. Raises BundleError when one is not there."""
    servers = [server for table in lake.sources if table.source is not None for server in table.source.servers]
    types = sorted({server.type for server in servers if server.environment == environment and server.type in DRIVERS})
    found = tuple(jars / jar_name(DRIVERS[kind]) for kind in types)
    for jar in found:
        if not jar.is_file():
            raise BundleError(f"{jar} is missing, which the ingest job of {environment} needs; run `make setup`")
    return found


def jar_name(coordinates: str) -> str:
    """As Spark's Ivy calls the file."""
    group, artifact, version = coordinates.split(":")
    return f"{group}_{artifact}-{version}.jar"
