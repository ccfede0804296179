"""The ways a bronze table can be read: by windows of a watermark, as snapshots, as files. What the latter two say, and what contradicts them."""

import re

from compiler.draft import Draft
from compiler.node import Node
from shared.spec.lake import FileFormat, Files, Snapshot

KINDS = ("watermark", "snapshot", "files")
NO_POSITION = "'watermark' is missing"
FILE_SERVER = "s3"
FORMATS: tuple[FileFormat, ...] = ("csv", "json", "parquet")
MAX_OBJECTS = 1000  # of one batch, where the contract says nothing

_LOCATION = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^*?\[\]{}\\]*)?")
_FILE_SERVER_KEYS = ("id", "server", "type", "description", "environment", "roles", "customProperties", "location", "format", "delimiter")


def kind_of(draft: Draft, missing: str) -> str | None:
    """The one way the contract says; None, with the problem written down, when it says none or several."""
    options = draft.options
    written = [kind for kind in KINDS if not options[kind].absent]
    if not written:
        options["watermark"].refuse(NO_POSITION, missing)
        return None
    for other in written[1:]:
        options[other].refuse(f"'{other}' beside '{written[0]}': a table is read in one way", f"Keep one of {', '.join(KINDS)}.")
    if written[0] != "watermark" and not options["parallel"].absent:
        options["parallel"].refuse(
            f"'parallel' with '{written[0]}': only windows are read in parts", "Leave 'parallel' out: several queries do not see one moment."
        )
    return written[0] if len(written) == 1 else None


def read_files(draft: Draft) -> Files | None:
    options = draft.options
    node = options["files"]
    if not options["source"].absent:
        options["source"].refuse("'source' of a table of files", "Leave it out: the server's location and files.pattern say what is read.")
    node.only(("pattern", "max_objects"), what="files")
    pattern = node["pattern"].text("Say which objects, from the server's location on: pattern: rates/*.csv.")
    if pattern is not None and (re.search(r"[\[\]{}\\]|//|^/|(^|/)\.\.?(/|$)", pattern) or pattern.endswith("/")):
        node["pattern"].refuse(f"'{pattern}' is not a pattern", "Write a path from the location on; * and ? stay within a folder, ** does not.")
        pattern = None
    most = node["max_objects"].integer(1, 10_000)
    return None if pattern is None else Files(pattern=pattern, max_objects=MAX_OBJECTS if most is None else most)


def read_snapshot(draft: Draft) -> Snapshot | None:
    node = draft.options["snapshot"]
    node.only(("min_share", "deleted", "at"), what="snapshot")
    share = node["min_share"].number(0, 1)
    if node["min_share"].absent or share == 0:
        node["min_share"].refuse(
            "'min_share' is missing" if node["min_share"].absent else "min_share 0 takes an empty table for everything deleted",
            "Write the share of the known rows that a snapshot must at least hold: min_share: 0.5.",
        )
    deleted = _made(draft, node["deleted"], "boolean", "is_deleted")
    at = _made(draft, node["at"], "timestamp", "seen_at")
    if draft.columns and not draft.key:
        node.refuse(f"{draft.name} has no primary key, and a snapshot tells rows apart by it", "Mark its columns with primaryKey: true.")
    return None if not share or deleted is None or at is None else Snapshot(min_share=float(share), deleted=deleted, at=at)


def read_location(node: Node) -> tuple[str | None, FileFormat | None]:
    """Location and format of a server of files; None for what was refused."""
    for key, other in node.entries():
        if key not in _FILE_SERVER_KEYS:
            other.refuse(f"'{key}' of a server of type {FILE_SERVER}", "Write location and format: an object store has no more.")
    location = node["location"].text("Write where the files lie: s3://bucket/folder.")
    if location is not None and not _LOCATION.fullmatch(location):
        node["location"].refuse(f"'{location}' is not a folder on S3", "Write s3://bucket/folder; patterns stand in files.pattern.")
        location = None
    found = node["format"].word(FORMATS, f"Write format: {', '.join(FORMATS)}.")
    kind = next((known for known in FORMATS if known == found), None)
    if not node["delimiter"].absent and (kind != "json" or node["delimiter"].value != "new_line"):
        node["delimiter"].refuse("'delimiter' says how JSON documents are apart", "Write delimiter: new_line (with format: json), or leave it out.")
    return location and location.rstrip("/"), kind


def _made(draft: Draft, node: Node, kind: str, example: str) -> str | None:
    """A column that the engine fills."""
    name = node.column(draft.names, draft.name, f"Name the {kind} column that the engine fills: {example}.")
    column = draft.column(name) if name else None
    if column is not None and column.type not in (None, kind):
        node.refuse(f"'{column.name}' ({node.name}) is {column.type}", f"Name a {kind} column; the engine fills it.")
    if column is not None and column.key_position is not None:
        node.refuse(f"'{column.name}' is part of the key, and the engine fills it", "Name a column of its own.")
    return name
