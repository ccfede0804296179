"""A good lake, one thing wrong with it, and what must come of that."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from compiler import Problem, Refused, compile_lake

GOOD = Path(__file__).parent / "compiler_lake"

ORDERS, CUSTOMERS, S_ORDERS = "bronze/orders.yaml", "bronze/customers.yaml", "silver/orders.yaml"
CHANGES, DIM, FACT, TOML = "silver/customer_changes.yaml", "gold/dim_customer.yaml", "gold/fact_sales.yaml", "environments.toml"
FACT_SQL, FACT_AFFECTED = "gold/fact_sales.sql", "gold/fact_sales.affected.sql"
TABLE_RULE = "    quality:\n      - id: not_updated_before_ordered"


@dataclass(frozen=True)
class Wrong:
    """`old` becomes `new` in `file` (no `old`: the file is written; no `new`: it is deleted); the problem stands where `at` is written."""

    name: str
    file: str
    old: str | None
    new: str | None
    at: str | int
    message: str
    fix: str
    where: str | None = None  # the file that is refused, if another


def quality(rule: str) -> str:
    """A table rule of bronze.orders, before its own one."""
    return f"    quality:\n      - {rule}\n      - id: not_updated_before_ordered"


def custom(implementation: str) -> str:
    """A Great Expectations rule of bronze.orders."""
    return quality(f"{{id: wrong, type: custom, engine: greatExpectations, implementation: {implementation}}}")


def assert_refused(wrong: Wrong, tmp_path: Path) -> None:
    lake = copied(tmp_path)
    spoil(lake, wrong)

    found = problems_of(lake)

    file = lake / (wrong.where or wrong.file)
    matching = [problem for problem in found if wrong.message in problem.message and problem.file == str(file)]
    assert matching, "\n".join(map(str, found))
    assert line_of(file, wrong.at) == matching[0].line, matching[0]
    assert wrong.fix in matching[0].fix, matching[0]


def problems_of(lake: Path) -> tuple[Problem, ...]:
    with pytest.raises(Refused) as refused:
        compile_lake(lake)
    return refused.value.problems


def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOOD, tmp_path / "lake"))


def spoil(lake: Path, wrong: Wrong) -> None:
    path = lake / wrong.file
    if wrong.new is None:
        path.unlink()
    elif wrong.old is None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(wrong.new)
    else:
        edit(path, wrong.old, wrong.new)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new, 1))


def line_of(file: Path, at: str | int) -> int:
    if isinstance(at, int):
        return at
    found = [number for number, line in enumerate(file.read_text().splitlines(keepends=True), start=1) if at in line]
    assert found, f"{at!r} is not in {file}"
    return found[0]
