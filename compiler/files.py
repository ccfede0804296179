"""Which files make a lake: contracts by layer with their SQL. Nothing lies in a layer's folder that has no part in it."""

from dataclasses import dataclass, field
from pathlib import Path

from compiler.document import Document, read_yaml
from compiler.draft import LAYERS, Draft, SqlFile
from compiler.node import Node
from compiler.problems import Problems, did_you_mean
from shared.spec.lake import Layer

_SQL, _AFFECTED = ".sql", ".affected.sql"


@dataclass(slots=True)
class Found:
    """Drafts by table name. Those in `unread` exist, but their contracts could not be read."""

    drafts: dict[str, Draft] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)


def find_tables(folder: Path, problems: Problems) -> Found:
    """Every contract of a folder with the SQL files beside it."""
    found = Found()
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name not in LAYERS and not path.name.startswith((".", "_")):
            problems.add(str(path), 1, f"'{path.name}' is not a layer", did_you_mean(path.name, LAYERS))
    for layer in LAYERS:
        _find_layer(folder, layer, found, problems)
    if not found.drafts:
        problems.add(str(folder), 1, "the lake has no table", "Add a contract: bronze/<table>.yaml.")
    return found


def check_sql_files(draft: Draft) -> None:
    """Refuse SQL that nothing runs, and a derived table without any."""
    for sql, loads in ((draft.sql, ("derive", "replace")), (draft.affected, ("derive",))):
        if sql is not None and draft.load is not None and draft.load not in loads:
            draft.problems.add(
                sql.file, 1, f"{draft.name} is loaded by '{draft.load}', which runs no such SQL", f"Delete the file, or write load: {loads[0]}."
            )
    if draft.sql is None and draft.load in ("derive", "replace"):
        draft.options["load"].refuse(
            f"load '{draft.load}' needs {draft.stem}.sql, and there is none", "Write it: one SELECT that gives the table's columns."
        )


def _find_layer(folder: Path, layer: Layer, found: Found, problems: Problems) -> None:
    here = folder / layer
    paths = sorted(path for path in here.iterdir() if not path.name.startswith(".")) if here.is_dir() else []
    for path in paths:
        if path.suffix == ".yaml":
            _add_draft(path, folder, layer, found, problems)
    stems = [path.stem for path in paths if path.suffix == ".yaml"]
    for path in paths:
        _add_sql(path, layer, stems, found, problems)


def _add_draft(path: Path, folder: Path, layer: Layer, found: Found, problems: Problems) -> None:
    file = str(path)
    text = _text(path, problems)
    doc = read_yaml(text, file, problems) if text is not None else None
    if doc is not None and not isinstance(doc.data, dict):
        problems.add(file, 1, "a contract is a mapping", "Start with apiVersion: v3.1.0.")
        doc = None
    root = Node.root(doc if doc is not None else Document(file, {}, {}, problems))
    place = f"{folder.resolve().name}/{layer}/{path.name}"
    draft = Draft(layer=layer, stem=path.stem, file=file, place=place, root=root, problems=problems, options=root["customProperties"])
    found.drafts[draft.name] = draft
    if doc is None:
        found.unread.add(draft.name)


def _add_sql(path: Path, layer: Layer, stems: list[str], found: Found, problems: Problems) -> None:
    file = str(path)
    if path.suffix == ".yaml" or path.suffix == ".md":
        return
    if path.is_dir() or path.suffix != _SQL:
        fix = (
            f"Rename it to {path.stem}.yaml."
            if path.suffix in (".yml", ".json")
            else "A layer holds <table>.yaml, .sql and .affected.sql; delete it."
        )
        problems.add(file, 1, f"'{path.name}' has no part in the lake", fix)
        return
    affected = path.name.endswith(_AFFECTED)
    stem = path.name.removesuffix(_AFFECTED if affected else _SQL)
    draft = found.drafts.get(f"{layer}.{stem}")
    if draft is None:
        problems.add(file, 1, f"there is no {stem}.yaml beside this SQL", f"{did_you_mean(stem, stems)} Rename, or delete the file.")
        return
    text = _text(path, problems)
    if text is not None and affected:
        draft.affected = SqlFile(file=file, text=text)
    elif text is not None:
        draft.sql = SqlFile(file=file, text=text)


def _text(path: Path, problems: Problems) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        problems.add(str(path), 1, "the file is not UTF-8", "Save it as UTF-8 text.")
        return None
