"""Which drivers ship: those of the servers that the environment's sources name, of the pinned version, or an error that says what to do."""

from dataclasses import replace

import pytest

from infra.bundling import BundleError
from infra.drivers import DRIVERS, driver_jars, jar_name
from tests.infra.tides import lake


def of_types(**environments):
    made = lake()
    (tides, *others) = made.sources
    server = tides.source.servers[0]
    servers = tuple(replace(server, environment=name, type=kind) for name, kind in environments.items())
    read = replace(tides, source=replace(tides.source, servers=servers))
    return replace(made, tables=(read, *(table for table in made.tables if table is not tides and table.source is None)))


@pytest.fixture
def jars(tmp_path):
    for coordinates in DRIVERS.values():
        (tmp_path / jar_name(coordinates)).touch()
    return tmp_path


def test_an_environment_takes_the_drivers_of_its_own_servers(jars):
    """Snowflake's driver is 99 MB: a laptop that reads PostgreSQL in its place does without."""
    made = of_types(local="postgres", prod="snowflake", archive="s3")

    assert ["org.postgresql_postgresql-42.7.14.jar"] == [jar.name for jar in driver_jars(made, "local", jars=jars)]
    assert ["net.snowflake_snowflake-jdbc-4.4.1.jar"] == [jar.name for jar in driver_jars(made, "prod", jars=jars)]
    assert () == driver_jars(made, "archive", jars=jars)


def test_a_driver_that_is_not_there_ends_the_synthesis(tmp_path):
    """A job without its driver would deploy, and fail in its first night."""
    with pytest.raises(BundleError, match=r"redshift-jdbc42-2\.3\.0\.jar is missing.* run `make setup`"):
        driver_jars(of_types(prod="redshift"), "prod", jars=tmp_path)


def test_every_driver_is_a_pin_of_the_laptops_jars():
    """One list: what set-up resolves is what ships."""
    from local.jars import PINS

    assert set(DRIVERS.values()) <= set(PINS)
