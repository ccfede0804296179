"""A lake of another trade, whose tables no code knows, through its whole life in an account, by the real `cdk` command line."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from cli.doctor import environment_lines
from compiler import compile_lake
from local.laptop import Laptop
from tests.flow.cdk_command import Cdk
from tests.flow.lake_reader import Lake, assert_balanced

BIKES = Path(__file__).resolve().parents[1] / "lakes" / "bikes"
SCHEDULE = 'schedule = {expression = "cron(0 4 * * ? *)", time_zone = "UTC", enabled = false}\n'
STACKS = {f"sluice-local-{part}" for part in ("storage", "signals", "catalogue", "compute", "workflow")}


def scheduled(folder: Path) -> Path:
    """The lake, with a schedule."""
    shutil.copytree(BIKES, folder)
    environments = folder / "environments.toml"
    environments.write_text(environments.read_text().replace("keeps_data", f"{SCHEDULE}keeps_data"))
    return folder


def changed(folder: Path) -> None:
    """One table more, by its files alone, and another time of day."""
    environments = folder / "environments.toml"
    environments.write_text(environments.read_text().replace("cron(0 4 ", "cron(30 5 "))
    for path in list((folder / "gold").iterdir()):
        copy = path.with_name(path.name.replace("station_days", "station_months"))
        copy.write_text(path.read_text().replace("station_days", "station_months"))


def stacks(laptop: Laptop) -> set[str]:
    found = laptop.client("cloudformation").list_stacks()["StackSummaries"]
    return {stack["StackName"] for stack in found if stack["StackStatus"] != "DELETE_COMPLETE"} - {"CDKToolkit"}


def gold_of(laptop: Laptop) -> set[str]:
    """The catalogue's tables of gold."""
    glue = laptop.client("glue")
    (database,) = [found["Name"] for found in glue.get_databases()["DatabaseList"] if found["Name"].endswith("gold")]
    return {table["Name"] for table in glue.get_tables(DatabaseName=database)["TableList"]}


def to_mend(laptop: Laptop) -> set[str]:
    """What `sluice doctor` finds wrong, less what the emulator cannot be asked."""
    lake = compile_lake(laptop.lake)
    lines = list(environment_lines(lake, lake.environment("local"), laptop.client, datetime.now(UTC)))
    assert {"Lake Formation admin", "default permissions", "Glue job runs", "Glue DPUs", "tags"} == {
        line.what for line in lines if line.status == "unknown"
    }
    return {line.what for line in lines if line.status == "wrong"}


def empty(s3, bucket: str) -> None:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            s3.delete_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])


def test_a_lake_of_another_trade_is_deployed_run_changed_and_deleted_by_its_files_and_the_cdk_command(tmp_path):
    """Bootstrap, deploy, run; a new table, another schedule and both keys turned: the difference, deploy; destroy: nothing is left."""
    laptop = Laptop(tmp_path / "home", scheduled(tmp_path / "lake"), orders=None)
    cdk = Cdk(laptop, tmp_path)
    try:
        laptop.up(deploys=False)
        lake = Lake(laptop)
        reader = laptop.status().database.reader
        lake.execute((BIKES / "source.sql").read_text() + f"grant usage on schema fleet to {reader}; grant select on fleet.rides to {reader};")

        assert {"CDK bootstrap", "CDK asset bucket", "CDK roles"} == to_mend(laptop)
        cdk.bootstrap()
        assert not to_mend(laptop)
        cdk.synthesize("first")
        cdk.deploy("first")

        assert STACKS == stacks(laptop)
        assert not to_mend(laptop)
        run, ended = lake.run()
        assert "SUCCEEDED" == ended.status, ended
        assert_balanced(lake, run)
        assert 3 == len(lake.document(f"_evidence/{run}/ingest/bronze.rides.json")["batches"])
        assert 295 == sum(lake.live("silver.rides").values())
        assert lake.rows("gold.station_days")

        changed(laptop.lake)
        cdk.synthesize("second", delete_data="local")
        changes = cdk.differences("second")
        assert "[+] AWS::Glue::Table GoldStationMonths" in changes
        assert "[-] cron(0 4 * * ? *)" in changes
        assert "[+] cron(30 5 * * ? *)" in changes
        assert "[-] AWS::" not in changes
        cdk.deploy("second")

        assert not cdk.differences("second")
        assert "cron(30 5 * * ? *)" == laptop.client("scheduler").get_schedule(Name=laptop.environment().scheduler)["ScheduleExpression"]
        assert {"station_days", "station_months"} == gold_of(laptop)

        for bucket in (lake.bucket, laptop.environment().log_bucket):
            empty(laptop.client("s3"), bucket)
        cdk.destroy("second")

        assert not stacks(laptop)
        assert not {bucket["Name"] for bucket in laptop.client("s3").list_buckets()["Buckets"]} & {lake.bucket, laptop.environment().log_bucket}
        assert not laptop.client("dynamodb").list_tables()["TableNames"]
        assert not laptop.client("glue").get_jobs()["Jobs"]
        assert not laptop.client("stepfunctions").list_state_machines()["stateMachines"]
        assert not laptop.client("lambda").list_functions()["Functions"]
    finally:
        laptop.remove()
