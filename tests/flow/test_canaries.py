"""Personal data stops at the edge: canaries in every classified column of the sources, and everything a laptop kept but the sources themselves."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from compiler import compile_lake
from shared.aws.secrets import Secrets
from shared.core.layout import table_path
from tests.flow.canaries import Search, new_word
from tests.flow.few_days import lake_of_few_days
from tests.flow.lake_reader import Lake
from tests.flow.planting import Planted, break_source, classified, classified_sources, mend_source, plant

# Plans as they are, and what Spark keeps on disk while it works, to be read.
_OPEN = {
    "spark.eventLog.enabled": "true",
    "spark.eventLog.compress": "false",
    "spark.eventLog.rolling.enabled": "false",
    "spark.sql.maxToStringFields": "10000",
    "spark.sql.maxMetadataStringLength": "100000",
    "spark.rdd.compress": "false",
    "spark.shuffle.compress": "false",
    "spark.shuffle.spill.compress": "false",
}
# Where the name of a run is written down: a search that finds it there would find a canary there.
_PLACES = {
    "bronze": ("s3/", "/bronze/", ".parquet", "column _run_id"),
    "a commit": ("s3/", "/_delta_log/", ".json", ""),
    "rejects": ("s3/", "/_errors/", ".json", ""),
    "evidence": ("s3/", "/_evidence/", ".json", ""),
    "a report": ("s3/", "/_runs/", "report.html", ""),
    "state": ("state/dynamodb.json", "", "", ""),
    "payloads and histories": ("state/stepfunctions.json", "", "", ""),
    "Glue's runs": ("state/glue.json", "", "", ""),
    "a job's log": ("logs/glue/", "", ".log", ""),
    "a function's log": ("logs/lambda/", "", ".log", ""),
    "plans": ("plans/", "", "", ""),
}


@pytest.fixture
def lake(tmp_path):
    with lake_of_few_days(tmp_path / "home") as lake:
        yield lake


def test_personal_data_is_nowhere_but_at_its_source(lake):
    """In sound rows and in rejects of every kind that come to a lake that has rows, after a run whose sources failed over these very values and one
    that took them all in."""
    compiled = compile_lake(lake.laptop.lake)
    sources, word, decoy = classified_sources(compiled), new_word(), new_word()
    # Gold is made of what silver holds.
    reading = {"tables": [table.name for table in compiled.tables if classified(table) and table.layer != "gold"]}
    assert "SUCCEEDED" == lake.run(**reading)[1].status
    plans = lake.laptop.home / "plans"
    _open_plans(lake, plans)
    with lake.laptop.status().database.connect(autocommit=True) as shop:
        planted = [row for table in sources for row in plant(shop, table, word)]
        for way, table in enumerate(sources):
            break_source(shop, table, word, way=way, reader=lake.laptop.status().database.reader)

        failing = lake.laptop.start_run(f"run-{decoy}-1", reading)
        failed = lake.laptop.wait(failing, timeout_s=400)

        for table in sources:
            mend_source(shop, table)
    for log in plans.iterdir():  # an event log quotes what a task failed with; deployed jobs write none
        log.unlink()
    search = Search(word, [canary for row in planted for canary in row.canaries.values()])

    with lake.laptop.hold("PUT", rf"/{table_path(sources[0])}/_delta_log/") as held:
        passing = lake.laptop.start_run(f"run-{decoy}-2", reading)
        held.wait(timeout_s=300)
        at_work = lake.laptop.home / "glue" / "scratch"
        caught, kept = search.below(at_work), _masks_at_work(lake, at_work, sources[0].name, planted)
        held.release()
    passed = lake.laptop.wait(passing, timeout_s=400)

    assert ("FAILED", "TablesBlocked") == (failed.status, failed.error), failed
    problems = [lake.document(f"_evidence/{failing}/ingest/{table.name}.json")["problem"] for table in sources]
    assert all("it said: SQLSTATE 2" in problem for problem in problems), problems
    assert "SUCCEEDED" == passed.status, passed
    for table in sources:
        _assert_arrived(lake, table, planted)
    lake.laptop.down()
    assert [] == caught
    assert kept
    assert [] == search.below(lake.laptop.home, leave_out=_of_the_sources(compiled))
    assert set(_PLACES) == _places_of(lake, decoy, _of_the_sources(compiled))


def _open_plans(lake: Lake, folder: Path) -> None:
    """Have jobs write their event logs."""
    folder.mkdir()
    glue = lake.laptop.client("glue")
    more = "".join(f" --conf {key}={value}" for key, value in {**_OPEN, "spark.eventLog.dir": folder.as_uri()}.items())
    for job in glue.get_jobs()["Jobs"]:
        arguments = {**job["DefaultArguments"], "--conf": job["DefaultArguments"]["--conf"] + more}
        glue.update_job(JobName=job["Name"], JobUpdate={"Role": job["Role"], "Command": job["Command"], "DefaultArguments": arguments})
    lake.laptop._prepare(lake.laptop.environment())


def _masks_at_work(lake: Lake, folder: Path, table: str, planted: list[Planted]) -> list:
    """The masked forms of a table's canaries in what Spark keeps on disk: that rows are there and can be read."""
    masks = [mask for row in planted if row.table == table for mask in _masked(lake, table, row.canaries).values() if len(mask) == 64]
    return [find for mask in masks for find in Search(mask).below(folder)]


def _assert_arrived(lake: Lake, table, planted: list[Planted]) -> None:
    """Every canary is in bronze as its mask made it: of sound rows in their columns, of rejects also in what was given."""
    accepted, rejected = lake.lanes(table.name, "accepted"), lake.lanes(table.name, "rejected")
    assert {row.reason for row in planted if row.table == table.name and row.reason} <= {reason for row in rejected for reason in row["_reasons"]}
    for row in (row for row in planted if row.table == table.name):
        for name, mask in _masked(lake, table.name, row.canaries).items():
            if row.reason in (None, "exact_copy"):
                assert mask in {found[name] for found in accepted}, (row.kind, name)
            if row.reason is not None:
                assert mask in {json.loads(found["_original"])[name] for found in rejected if row.reason in found["_reasons"]}, (row.kind, name)


def _masked(lake: Lake, table: str, canaries: Mapping[str, str]) -> dict[str, str]:
    """As Python masks them."""
    environment = lake.laptop.environment()
    key = Secrets(environment, client=lake.laptop.client("secretsmanager")).mask_key()
    masks = {
        "hmac": lambda text: hmac.new(key, text.encode(), hashlib.sha256).hexdigest(),
        "redact": lambda text: "[redacted]",
        "partial": lambda text: "*" * (len(text) - 4) + text[-4:],
    }
    columns = compile_lake(lake.laptop.lake).table(table)
    return {name: masks[columns.column(name).mask](text) for name, text in canaries.items()}


def _of_the_sources(compiled):
    """What is not the lake's: the shop's database, with its server's own log, and the buckets that sources of files lie in."""
    locations = [server.location for table in compiled.sources for server in table.source.servers if server.location]
    buckets = tuple(f"/{location.removeprefix('s3://').partition('/')[0]}/" for location in locations)
    return lambda file: file.startswith(("postgres/", "logs/postgres.log")) or (file.startswith("s3/") and any(bucket in file for bucket in buckets))


def _places_of(lake: Lake, word: str, leave_out) -> set[str]:
    finds = Search(word).below(lake.laptop.home, leave_out=leave_out)
    return {
        place
        for place, (start, within, end, part) in _PLACES.items()
        for find in finds
        if find.file.startswith(start) and within in find.file and find.file.endswith(end) and (not part or find.part == part)
    }
