"""`sluice compile`: every problem at once, or the lake."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from cli.main import app
from shared.spec.lake import read_lake


@pytest.fixture
def lake(tmp_path):
    shutil.copytree("lake", tmp_path / "lake")
    return tmp_path / "lake"


def sluice(lake, *arguments):
    return CliRunner().invoke(app, ["--lake", str(lake), *arguments])


def test_a_lake_that_holds_together_is_listed(lake):
    """Load, inputs, keys and rules of each table, in order."""
    ended = sluice(lake, "compile")

    assert 0 == ended.exit_code, ended.output
    for word in ("bronze.orders", "append", "sales.orders (source)", "environments: dev, local, prod"):
        assert word in ended.stdout


def test_refusals_are_told_all_at_once_with_place_and_fix(lake):
    """Two mistakes are two lines, and exit 2."""
    for table in ("orders", "products"):
        contract = lake / "silver" / f"{table}.yaml"
        contract.write_text(contract.read_text().replace("load: merge", "load: murge"))

    ended = sluice(lake, "compile")

    lines = ended.stderr.splitlines()
    assert 2 == ended.exit_code
    assert "" == ended.stdout
    for table in ("orders", "products"):
        assert [line for line in lines if line.startswith(f"{lake}/silver/{table}.yaml:") and " - " in line]
    assert "nothing was compiled" in lines[-1]


def test_lake_json_is_written_as_it_ships(lake, tmp_path):
    """The very text whose hash a run pins."""
    written = tmp_path / "out" / "lake.json"
    written.parent.mkdir()

    ended = sluice(lake, "compile", "--out", str(written))

    assert 0 == ended.exit_code
    assert read_lake(written.read_text()).hash in ended.stdout


def test_a_refused_lake_writes_nothing(lake, tmp_path):
    """An old lake.json is not replaced by half of a new one."""
    (lake / "environments.toml").unlink()

    ended = sluice(lake, "compile", "--out", str(tmp_path / "lake.json"))

    assert 2 == ended.exit_code
    assert not (tmp_path / "lake.json").exists()


def test_json_is_lake_json(lake):
    """For programs."""
    assert "bronze.orders" in [table["name"] for table in json.loads(sluice(lake, "compile", "--json").stdout)["tables"]]


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    """With the folder that was looked for."""
    ended = sluice(tmp_path / "nowhere", "compile")

    assert 2 == ended.exit_code
    assert "nowhere" in ended.stderr
