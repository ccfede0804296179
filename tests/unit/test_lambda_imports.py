"""Lambdas stay small: each handler imports where Spark, and every other function's code, cannot be imported."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTIONS = ("plan", "gate", "commit", "fail", "report", "watch")
PROBE = """
import sys

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {walled!r} or name.startswith("shared.spark"):
            raise ImportError("behind the wall: " + name)

sys.meta_path.insert(0, Wall())
from lambdas.{function}.handler import handler
print(callable(handler), sorted(name for name in sys.modules if name.startswith("lambdas.") and name.endswith(".handler")))
"""
WALLED = {"pyspark", "delta", "py4j", "compiler", "infra", "local", "cli", "aws_cdk", "sqlglot", "pandas", "numpy", "openlineage"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_handler_imports_behind_a_wall(function):
    """A bundle without Spark runs it; a change to one function changes no other."""
    probe = PROBE.format(walled=WALLED, function=function)

    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)

    assert ("", f"True ['lambdas.{function}.handler']\n") == (done.stderr, done.stdout)


def test_every_function_has_a_handler_of_at_most_forty_lines():
    """Entry points wire; they do not decide."""
    handlers = sorted((ROOT / "lambdas").glob("*/handler.py"))

    assert sorted(FUNCTIONS) == [handler.parent.name for handler in handlers]
    assert all(len(handler.read_text().splitlines()) <= 40 for handler in handlers)
