"""`sluice doctor`: each line ok, or the exact fix."""

import json
import shutil

from typer.testing import CliRunner

from cli.checks import FREE_GB, Process, check_disk, check_lake, check_leftovers, works_in
from cli.lakes import Desk, open_lake
from cli.main import app
from local.places import ROOT


def desk(folder, home):
    return Desk(folder=folder, environment="local", home=home, opener=open_lake)


def test_a_full_disk_is_missing_with_how_much_is_needed(tmp_path):
    """Before Spark says so in the middle of a write."""
    assert check_disk(tmp_path, FREE_GB * 10**9).ok
    assert f"{FREE_GB} GB" in check_disk(tmp_path, 10**9).fix


def test_a_lake_that_is_refused_is_missing_with_its_first_problem(tmp_path):
    """And where all of them are told."""
    shutil.copytree(ROOT / "lake", tmp_path / "lake")
    good = check_lake(desk(tmp_path / "lake", tmp_path))
    (tmp_path / "lake" / "environments.toml").unlink()

    bad = check_lake(desk(tmp_path / "lake", tmp_path))

    assert good.ok
    assert "environments.toml:1" in bad.fix
    assert "compile` tells all" in bad.fix


def test_what_an_earlier_laptop_left_is_found_and_the_living_one_is_not(tmp_path):
    """Every process below the living server is its own."""
    spark = f"java -cp x org.apache.spark.deploy.SparkSubmit {tmp_path}/glue/code/ingest.py"
    running = [
        Process(pid=10, parent=1, command=f"python -m local.laptop serve --home {tmp_path} --account 1"),
        Process(pid=11, parent=10, command=f"postgres -D {tmp_path}/postgres -c x"),
        Process(pid=12, parent=11, command=spark),
        Process(pid=20, parent=1, command=spark),
        Process(pid=30, parent=1, command="vim notes.txt"),
    ]

    alive, dead = check_leftovers(tmp_path, running, 10), check_leftovers(tmp_path, running, None)

    assert "kill 20" in alive.fix
    assert "kill 10 11 12 20" in dead.fix
    assert check_leftovers(tmp_path, running[4:], None).ok


def test_another_homes_processes_are_not_ours(tmp_path):
    """Two laptops on one machine do not end each other's work."""
    assert not works_in(tmp_path, f"python -m local.laptop serve --home {tmp_path}/other --account 1")
    assert not works_in(tmp_path, f"postgres -D {tmp_path}/other/postgres")


def test_doctor_lists_everything_and_exits_by_it(tmp_path):
    """As a table, and the same as JSON."""
    ended = CliRunner().invoke(app, ["--home", str(tmp_path), "doctor", "--json"])

    found = json.loads(ended.stdout)

    assert ["Python", "Java", "PostgreSQL", "node", "Spark jars", "disk", "lake", "laptop", "processes"] == [check["what"] for check in found]
    assert (0 if all(check["ok"] for check in found) else 1) == ended.exit_code
    assert all((check["fix"] is None) == check["ok"] for check in found)


def test_doctor_exits_1_when_something_is_missing(tmp_path):
    """A script may ask it."""
    ended = CliRunner().invoke(app, ["--lake", str(tmp_path / "nowhere"), "--home", str(tmp_path), "doctor"])

    assert 1 == ended.exit_code
    assert "missing" in ended.stdout
