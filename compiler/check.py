"""`python -m compiler.check FOLDER...`: every contract against ODCS's own JSON schema, then the folder compiled. Exit code 2 with all problems."""

import sys
from collections.abc import Sequence
from pathlib import Path

from jsonschema import Draft201909Validator  # type: ignore[import-untyped]  # it ships no types

from compiler.document import read_yaml
from compiler.draft import LAYERS
from compiler.lake import compile_lake
from compiler.odcs import json_schema
from compiler.problems import Problem, Problems, Refused

REFUSED = 2


def main(folders: Sequence[str]) -> int:
    """0 when every folder holds a lake; 2, with the problems on standard error, when one does not or none was named."""
    if not folders:
        sys.stderr.write("usage: python -m compiler.check FOLDER...\n")
        return REFUSED
    problems = {problem for folder in folders for problem in (*schema_problems(Path(folder)), *_compile_problems(Path(folder)))}
    for problem in sorted(problems):
        sys.stderr.write(f"{problem}\n")
    return REFUSED if problems else 0


def schema_problems(folder: Path) -> tuple[Problem, ...]:
    """Where contracts of a folder are not what ODCS's JSON schema says."""
    problems, validator = Problems(), Draft201909Validator(json_schema())
    for path in sorted(path for layer in LAYERS for path in (folder / layer).glob("*.yaml")):
        doc = read_yaml(path.read_text(encoding="utf-8"), str(path), problems)
        for error in validator.iter_errors(doc.data) if doc is not None else ():
            line = doc.line(tuple(error.absolute_path)) if doc is not None else 1
            problems.add(str(path), line, f"ODCS's JSON schema: {error.message}", "Write what ODCS v3.1 has there.")
    return problems.all


def _compile_problems(folder: Path) -> tuple[Problem, ...]:
    try:
        compile_lake(folder)
    except Refused as refused:
        return refused.problems
    return ()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
