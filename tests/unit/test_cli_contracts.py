"""`sluice contracts diff`: against a folder and a git revision; exit codes for CI."""

import json
import shutil
import subprocess

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.unit.compiler_refusals import edit


@pytest.fixture
def lake(tmp_path):
    """A git repository whose first commit holds the lake in a folder of its own."""
    shutil.copytree("lake", tmp_path / "repository" / "our lake")
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *command], cwd=tmp_path / "repository", check=True)
    return tmp_path / "repository" / "our lake"


def sluice(lake, *arguments):
    return CliRunner().invoke(app, ["--lake", str(lake), "contracts", "diff", *arguments])


def test_nothing_changed_is_said_and_is_fine(lake):
    """Most commits touch no contract."""
    ended = sluice(lake, "HEAD")

    assert (0, "no contract changed\n") == (ended.exit_code, ended.stdout)


def test_a_breaking_change_fails_until_its_version_says_so(lake):
    """With the version to write, and everything it reaches."""
    edit(lake / "bronze/orders.yaml", "validValues: [USD, EUR, GBP]", "validValues: [USD, EUR]")

    told = sluice(lake, "HEAD")
    edit(lake / "bronze/orders.yaml", "version: 1.0.0", "version: 2.0.0")
    mended = sluice(lake, "HEAD", "--strict")

    assert (4, 0) == (told.exit_code, mended.exit_code)
    for words in (
        "bronze.orders: version 1.0.0; write version: 2.0.0",
        "breaking",
        "no longer admits GBP",
        "silver.orders.currency",
        "read by",
        "gold.fact_sales",
    ):
        assert words in told.stdout
    assert "bronze.orders" in told.stderr
    assert "version 1.0.0 -> 2.0.0" in mended.stdout


def test_a_compatible_change_asks_and_fails_only_when_strict(lake):
    """Its demand is printed either way."""
    edit(lake / "gold/dim_date.yaml", "metric: rowCount, mustBe: 7305", "metric: rowCount, mustBeGreaterThan: 7000")

    lenient, strict = sluice(lake, "HEAD"), sluice(lake, "HEAD", "--strict")

    assert (0, 4) == (lenient.exit_code, strict.exit_code)
    assert "write version: 1.1.0" in lenient.stdout


def test_a_table_that_is_gone_must_be_meant(lake):
    """It has no version that could say so, so the command line does."""
    for name in ("fact_sales.yaml", "fact_sales.sql", "fact_sales.affected.sql"):
        (lake / "gold" / name).unlink()

    silent, meant = sluice(lake, "HEAD"), sluice(lake, "HEAD", "--accept-removal", "gold.fact_sales")
    wrong = sluice(lake, "HEAD", "--accept-removal", "gold.fact")

    assert (4, 0, 2) == (silent.exit_code, meant.exit_code, wrong.exit_code)
    assert "--accept-removal gold.fact_sales" in silent.stdout
    assert "gone: gold.fact_sales" in wrong.stderr


def test_json_holds_every_change_with_what_it_reaches(lake, tmp_path):
    """For a bot that comments on a pull request; against a folder as well."""
    base = shutil.copytree(lake, tmp_path / "before")
    edit(lake / "bronze/customers.yaml", "mask: hmac", "mask: redact")

    ended = sluice(lake, str(base), "--json")

    assert 4 == ended.exit_code
    found = json.loads(ended.stdout)
    assert (["bronze.customers"], ["bronze.customers"]) == (found["broken"], found["unmet"])
    (table,) = found["tables"]
    assert ("1.0.0", "2.0.0", False) == (table["before"], table["needs"], table["met"])
    readers = [
        "gold.dim_customer",
        "gold.fact_behavior",
        "gold.fact_sales",
        "silver.customer_activity",
        "silver.customer_changes",
        "silver.customers",
    ]
    assert readers == table["readers"]
    assert [["gold.dim_customer.email", "silver.customer_changes.email", "silver.customers.email"]] == [
        change["reaches"] for change in table["changes"]
    ]


def test_an_old_lake_that_does_not_compile_is_refused_with_its_place(lake, tmp_path):
    """Exit 2, and the revision in front of the file, so that nobody looks for it in the working tree."""
    edit(lake / "silver/orders.yaml", "load: merge", "load: murge")
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qam", "two"], cwd=lake, check=True)
    edit(lake / "silver/orders.yaml", "load: murge", "load: merge")

    ended = sluice(lake, "HEAD")

    assert 2 == ended.exit_code
    assert f"HEAD:{lake}/silver/orders.yaml:" in ended.stderr


@pytest.mark.parametrize("base", ["no-such-branch", "--output=/tmp/x", "HEAD:README"])
def test_a_base_that_is_neither_folder_nor_revision_is_wrong_use(lake, base):
    """A word that begins with dashes never reaches git as an option."""
    ended = sluice(lake, "--", base)

    assert 2 == ended.exit_code
    assert "neither a folder nor a git revision" in ended.stderr


def test_a_lake_outside_of_git_needs_a_folder(tmp_path):
    """And is told so."""
    ended = sluice(shutil.copytree("lake", tmp_path / "lake"), "HEAD")

    assert 2 == ended.exit_code
    assert "in no git repository" in ended.stderr


def test_a_revision_without_the_lake_is_wrong_use(lake):
    """The first commit that brings a lake has nothing to be compared with."""
    moved = lake.rename(lake.parent / "lake")

    ended = sluice(moved, "HEAD")

    assert 2 == ended.exit_code
    assert "HEAD has no folder lake" in ended.stderr


def test_a_version_that_drops_a_column_that_gold_reads_is_refused_before_it_is_compared(lake):
    """No major version makes it whole: exit 2, with the place in the reader's SQL that must follow."""
    column = "      - {name: category, logicalType: string, physicalType: string, required: true}\n"
    for layer in ("bronze", "silver"):
        edit(lake / layer / "products.yaml", column, "")
        edit(lake / layer / "products.yaml", "version: 1.0.0", "version: 2.0.0")

    ended = sluice(lake, "HEAD")

    line = next(n for n, text in enumerate((lake / "gold/dim_product.sql").read_text().splitlines(), start=1) if "p.category" in text)
    assert 2 == ended.exit_code
    assert f"{lake}/gold/dim_product.sql:{line}: 'category' is not a column of silver.products" in ended.stderr.replace("\n", " ")
