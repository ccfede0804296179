"""The house stays as it was drawn: cheap guards over the text of the project itself."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRACKED = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
PYTHON = [name for name in TRACKED if name.endswith(".py") and (ROOT / name).is_file()]
SHIPPED = [name for name in PYTHON if not name.startswith(("tests/", "bench/"))]
TEXT = [name for name in TRACKED if name.endswith((".py", ".md", ".toml", ".yaml", ".sql", ".txt", ".in", ".json", ".sh")) or name == "Makefile"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_required_rooms_are_there():
    """What the README and the synthesized template count on."""
    rooms = ["infra", "glue_jobs", "lambdas", "step_functions", "shared", "runbooks", "tests", "lake", "compiler", "local", "cli", "decisions"]

    assert [] == [room for room in rooms if not (ROOT / room).is_dir()]
    assert [] == [name for name in ("app.py", "cdk.json", "Makefile", "README.md", "pyproject.toml", ".ci/run") if not (ROOT / name).is_file()]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_module_says_what_it_owns(name):
    """One sentence of docstring; an empty package file needs none."""
    source = text(name)

    assert source.strip() == "" or ast.get_docstring(ast.parse(source)), name


@pytest.mark.parametrize("name", SHIPPED)
def test_no_module_is_longer_than_can_be_read(name):
    """Past this, it is two."""
    assert len(text(name).splitlines()) <= 350, name


FORBIDDEN = {
    "a note to do it later": re.compile(r"#\s*(TODO|FIXME|XXX|HACK)\b"),
    "a broad except": re.compile(r"^\s*except\s*(Exception)?\s*(as \w+)?:", re.M),
    "a changed import path": re.compile(r"sys\.path\.(insert|append)"),
    "a key that changes on every run": re.compile(r"monotonically_increasing_id\("),
    "a local clock without zone": re.compile(r"datetime\.(utcnow|now)\(\)"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_shipped_code_is_free_of(what):
    """Each was seen to hide a loss in some project that does this job."""
    assert [] == [name for name in SHIPPED if FORBIDDEN[what].search(text(name))]


def test_who_catches_everything_raises_it_again():
    """Cleaning up on Ctrl-C is allowed; going on is not."""
    handlers = [(name, node) for name in SHIPPED for node in ast.walk(ast.parse(text(name))) if isinstance(node, ast.ExceptHandler)]
    all_catching = [(name, node) for name, node in handlers if isinstance(node.type, ast.Name) and node.type.id == "BaseException"]

    assert [] == [f"{name}:{node.lineno}" for name, node in all_catching if not isinstance(node.body[-1], ast.Raise)]


def test_nothing_but_the_command_line_prints():
    """Jobs and Lambdas log events; they do not print."""
    printing = [name for name in SHIPPED if re.search(r"(?<![\w.])print\(", text(name))]

    assert [] == [name for name in printing if not name.startswith(("cli/", "local/", "compiler/check.py"))]


def test_no_test_can_vanish():
    """A test that skips when something is missing passes when everything is."""
    vanishing = re.compile(r"pytest\.(skip|importorskip)|mark\.(skip|xfail)|skipif")

    assert [] == [name for name in PYTHON if name.startswith("tests/") and name != "tests/unit/test_architecture.py" and vanishing.search(text(name))]


def test_shared_stays_an_empty_package():
    """Importing one port must not import the others."""
    assert "" == text("shared/__init__.py")


def test_lock_files_carry_hashes_and_no_addresses():
    """A mirror is the installer's business."""
    locks = [name for name in TRACKED if name.startswith("requirements/") and name.endswith(".txt")] + ["package-lock.json"]

    assert [] == [name for name in locks if re.search(r"https?://", re.sub(r'"(url|funding)": "[^"]*"', "", text(name)))]
    assert [] == [name for name in locks if "--hash=sha256:" not in text(name) and '"integrity"' not in text(name)]


def test_every_command_the_readme_names_exists():
    """A newcomer types what is written there."""
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.M))
    named = set(re.findall(r"`make ([a-z]+)", text("README.md"))) | set(re.findall(r"^make ([a-z]+)", text("README.md"), re.M))

    assert {"run", "test"} <= named
    assert set() == named - targets


def test_decisions_are_numbered_without_gap():
    """Each is found by its number."""
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "decisions").glob("[0-9]*.md"))

    assert list(range(1, len(numbers) + 1)) == numbers
    assert len(numbers) > 0
