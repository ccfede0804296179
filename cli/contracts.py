"""`sluice contracts diff`: the lake's contracts against those of a git revision or another folder."""

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from cli.errors import Misused
from cli.lakes import Desk
from cli.render import err, examples, listed, out, show_json
from compiler import Refused, compile_lake
from compiler.diff import TableDiff, compare_lakes
from shared.spec.codec import to_json
from shared.spec.lake import Lake

app = typer.Typer(name="contracts", help="The lake's contracts, and what became of them.", no_args_is_help=True)

BROKEN = 4
_SHOWN_COLUMNS = 6
_COLOURS = {"breaking": "red", "compatible": "yellow", "words": "dim"}


@app.callback()
def contracts() -> None:
    """The lake's contracts, and what became of them."""


@app.command(
    "diff",
    epilog=examples(
        "sluice contracts diff main                   # against a branch, a tag or a commit",
        "sluice contracts diff origin/main --strict   # in CI: every change asks for its version",
        "sluice contracts diff ../before/lake --json  # against another folder",
        "sluice contracts diff main --accept-removal gold.old_report",
    ),
)
def diff(
    context: typer.Context,
    base: Annotated[str, typer.Argument(metavar="BASE", help="A folder with a lake, or a git revision of this one.")],
    accepted: Annotated[list[str] | None, typer.Option("--accept-removal", metavar="TABLE", help="A table that is meant to be gone.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 4 also where a compatible change lacks its version.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what changed in every contract since BASE, which version that asks for, and which tables and columns it reaches.

    Breaking asks for a new major version: a column gone, retyped, or with another presence, key, mask or stricter classification; a critical
    rule added, tightened or not comparable; another source, load, sequence or history. Compatible asks for a new minor one: an optional column,
    a looser rule, other SQL. Words ask for a new patch.

    Exit 0: every breaking change has its major version. Exit 4: one has not, or a table is gone. Exit 2: a lake does not compile.
    """
    desk: Desk = context.obj
    lake = desk.compiled().lake
    found = [_accepting(item, accepted or ()) for item in compare_lakes(_base_lake(base, desk.folder), lake)]
    _check_accepted(accepted or (), found)
    broken = [item.table for item in found if item.breaks]
    unmet = [item.table for item in found if not item.met]
    if as_json:
        show_json({"base": base, "tables": [_as_json(item) for item in found], "broken": broken, "unmet": unmet})
    else:
        _show(found, broken, unmet)
    if broken or (strict and unmet):
        raise typer.Exit(BROKEN)


def _accepting(item: TableDiff, accepted: Iterable[str]) -> TableDiff:
    return replace(item, met=True) if item.after is None and item.table in accepted else item


def _check_accepted(accepted: Iterable[str], found: Iterable[TableDiff]) -> None:
    gone = [item.table for item in found if item.after is None]
    for name in accepted:
        if name not in gone:
            raise Misused(f"--accept-removal {name}: it is not gone; gone: {listed(gone)}")


# ---- the lake to compare with


def _base_lake(base: str, folder: Path) -> Lake:
    """Raises Misused when there is no such lake, Refused, with places in BASE, when it does not compile."""
    if Path(base).is_dir():
        return compile_lake(Path(base))
    with _checked_out(base, folder) as there:
        try:
            return compile_lake(there)
        except Refused as refused:
            raise Refused(
                replace(problem, file=f"{base}:{problem.file.replace(str(there), str(folder), 1)}") for problem in refused.problems
            ) from None


@contextmanager
def _checked_out(revision: str, folder: Path) -> Iterator[Path]:
    """The lake's folder as a git revision has it, in a folder of its own that ends with the block."""
    if not folder.is_dir():
        raise Misused(f"{folder}: there is no such folder; name the lake with --lake")
    root = Path(_git(folder, "rev-parse", "--show-toplevel", wrong=f"{revision}: no such folder, and {folder} is in no git repository").strip())
    where = folder.resolve().relative_to(root.resolve()).as_posix()
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    commit = _git(root, *asked, wrong=f"{revision} is neither a folder nor a git revision of {root}; in CI, fetch it first").strip()
    tar = _git_bytes(root, "archive", "--format=tar", commit, "--", where, wrong=f"{revision} has no folder {where}")
    with tempfile.TemporaryDirectory(prefix="sluice-base-") as scratch:
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            archive.extractall(scratch, filter="data")
        yield Path(scratch) / where


def _git(folder: Path, *arguments: str, wrong: str) -> str:
    return _git_bytes(folder, *arguments, wrong=wrong).decode()


def _git_bytes(folder: Path, *arguments: str, wrong: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=False)
    except FileNotFoundError as absent:
        raise Misused("there is no `git` here; name a folder in place of a revision") from absent
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Misused(f"{wrong}{f' (git: {said[-1]})' if said else ''}")
    return done.stdout


# ---- what is said of it


def _as_json(item: TableDiff) -> Mapping[str, Any]:
    changes = [{**to_json(reached.change), "reaches": list(reached.columns)} for reached in item.changes]
    plain: dict[str, Any] = to_json(item)
    return {**plain, "changes": changes, "weight": item.weight, "breaks": item.breaks}


def _show(found: Sequence[TableDiff], broken: Sequence[str], unmet: Sequence[str]) -> None:
    for item in found:
        _say(f"{item.table}: {_versions(item)}", style="bold red" if item.breaks else "bold")
        for reached in item.changes:
            change = reached.change
            _say(f"  {change.weight:<10}  {change.what}{f': {change.why}' if change.why else ''}", style=_COLOURS[change.weight])
            if reached.columns:
                _say(f"              reaches {_some(reached.columns)}")
        if item.readers and item.weight not in (None, "words"):
            _say(f"  read by     {listed(item.readers)}")
    if not found:
        _say("no contract changed")
        return
    if broken:
        err().print(Text(f"breaking without its version: {listed(broken)}"), soft_wrap=True)
    lacking = [name for name in unmet if name not in broken]
    if lacking:
        err().print(Text(f"changed without its version: {listed(lacking)}"), soft_wrap=True)
    count = sum(len(item.changes) for item in found)
    _say(
        f"{count} change{'' if count == 1 else 's'} in {len(found)} table{'' if len(found) == 1 else 's'}; {len(unmet)} without the version asked for"
    )


def _versions(item: TableDiff) -> str:
    if item.before is None:
        return f"new, version {item.after}"
    if item.after is None:
        return f"gone, it was version {item.before}{'' if item.met else '; say --accept-removal ' + item.table + ' if it is meant to be'}"
    told = f"version {item.before}" if item.before == item.after else f"version {item.before} -> {item.after}"
    if item.met:
        return told
    if item.weight is None:
        return f"{told}; a version does not go back"
    if item.needs is None:
        return f"{told}; write versions as MAJOR.MINOR.PATCH, so that a {item.weight} change can be told from others"
    return f"{told}; write version: {item.needs}"


def _some(columns: Sequence[str]) -> str:
    more = len(columns) - _SHOWN_COLUMNS
    return ", ".join(columns[:_SHOWN_COLUMNS]) + (f" and {more} more" if more > 0 else "")


def _say(text: str, *, style: str = "") -> None:
    out().print(Text(text, style=style), soft_wrap=True)
