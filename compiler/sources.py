"""What a bronze table is pulled from: relation, windows, reject tolerance, and one server for every environment."""

import re
from collections.abc import Mapping
from datetime import datetime

from compiler.draft import Draft, DraftColumn
from compiler.node import Node
from compiler.problems import did_you_mean
from compiler.source_kinds import FILE_SERVER, kind_of, read_files, read_location, read_snapshot
from shared.spec.codec import CodecError, NoTimeZone, parse_instant
from shared.spec.environment import Environment
from shared.spec.lake import Server, Source, Tolerance, Watermark

SERVER_TYPES = ("postgres",)

_RELATION = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*){0,2}")
_WATERMARK_KEYS = ("column", "lookback", "safety_lag", "start_at", "max_window")


def read_source(draft: Draft, environments: Mapping[str, Environment] | None) -> Source | None:
    """The source of an `append` table; None, with the problems written down, when something in it does not hold."""
    options = draft.options
    _refuse_unsupported(draft)
    kind = kind_of(draft, f"Add watermark: {{{', '.join(_WATERMARK_KEYS)}}}; or in its place snapshot, or files.")
    watermark = _read_watermark(draft) if kind == "watermark" else None
    snapshot = read_snapshot(draft) if kind == "snapshot" else None
    files = read_files(draft) if kind == "files" else None
    relation = _read_relation(options["source"]) if options["files"].absent else files.pattern if files else None
    tolerance = _read_tolerance(options["reject_tolerance"])
    servers = _read_servers(draft, environments)
    if relation is None or tolerance is None or not (watermark or snapshot or files):
        return None
    return Source(relation=relation, watermark=watermark, reject_tolerance=tolerance, servers=servers, snapshot=snapshot, files=files)


def _read_relation(node: Node) -> str | None:
    relation = node.text("Name the table or view to read: schema.table.")
    if relation is not None and not _RELATION.fullmatch(relation):
        node.refuse(f"source '{relation}' is not a plain name, and names are never quoted", "Write schema.table with letters, digits and _.")
    return relation


def _refuse_unsupported(draft: Draft) -> None:
    options = draft.options
    parallel = options["parallel"]
    if not parallel.absent:
        parallel.only(("column", "parts"), what="parallel")
        parallel["column"].column(draft.names, draft.name, "Name the column to cut by.")
        parallel["parts"].integer(2, 64, required=True)
        parallel.refuse("'parallel' reads are not supported by this version", "Leave 'parallel' out: a window is read by one connection.")
    if not options["widening"].absent and options["widening"].word(("refuse", "accept"), "") == "accept":
        options["widening"].refuse("'widening: accept' is not supported by this version", "Write widening: refuse, or leave it out.")


def _read_watermark(draft: Draft) -> Watermark | None:
    node = draft.options["watermark"]
    node.only(_WATERMARK_KEYS, what="watermark")
    name = node["column"].column(draft.names, draft.name, "Name the column that grows with every change: updated_at.")
    column = draft.column(name) if name else None
    if column is not None:
        _check_position_column(node["column"], column)
    lookback = node["lookback"].seconds(example="2h")
    safety_lag = node["safety_lag"].seconds(example="5m")
    max_window = node["max_window"].seconds(example="31d")
    if max_window == 0:
        node["max_window"].refuse("a window of no length never gets anywhere", "Write how much one batch may cover: 31d.")
    start_at = _read_start(node["start_at"])
    if name is None or lookback is None or safety_lag is None or not max_window or start_at is None:
        return None
    return Watermark(column=name, lookback_seconds=lookback, safety_lag_seconds=safety_lag, start_at=start_at, max_window_seconds=max_window)


def _check_position_column(place: Node, column: DraftColumn) -> None:
    if column.type not in (None, "timestamp"):
        place.refuse(f"the watermark '{column.name}' is {column.type}, and windows are cut in time", "Name a timestamp column.")


def _read_start(node: Node) -> datetime | None:
    text = node.text("Write the instant to read from: '2024-01-01T00:00:00Z'.")
    if text is None:
        return None
    try:
        return parse_instant(text)
    except NoTimeZone:
        node.refuse(f"'{text}' has no time zone", f"Write '{text.strip()}{'' if 'T' in text else 'T00:00:00'}Z' for UTC, or an offset.")
    except CodecError:
        node.refuse(f"'{text}' is not an instant", "Write ISO 8601 with its zone: '2024-01-01T00:00:00Z'.")
    return None


def _read_tolerance(node: Node) -> Tolerance | None:
    if node.absent:
        node.refuse("'reject_tolerance' is missing", "Say how many rejects a batch may hold: reject_tolerance: {share: 0.01, rows: 20}.")
        return None
    node.only(("share", "rows"), what="reject_tolerance")
    share = node["share"].number(0, 1)
    if node["share"].absent:
        node["share"].refuse("'share' is missing", "Write a number from 0 to 1.")
    rows = node["rows"].integer(0, required=True)
    return None if share is None or rows is None else Tolerance(share=float(share), rows=rows)


def _read_servers(draft: Draft, environments: Mapping[str, Environment] | None) -> tuple[Server, ...]:
    servers: dict[str, Server] = {}
    for node in draft.root["servers"].items():
        server = _read_server(node, environments, of_files=not draft.options["files"].absent)
        if server is None:
            continue
        if server.environment in servers:
            node.refuse(f"environment '{server.environment}' has a second server", "Keep one server entry for each environment.")
        servers.setdefault(server.environment, server)
    written = {node["environment"].value for node in draft.root["servers"].items()}
    for name in environments or ():
        if name not in written:
            draft.root["servers"].refuse(f"environment '{name}' has no server to read from", f"Add a servers entry with environment: {name}.")
    return tuple(servers[name] for name in sorted(servers))


def _read_server(node: Node, environments: Mapping[str, Environment] | None, *, of_files: bool) -> Server | None:
    name = node["server"].text("Name the server, as environments.toml does under secrets.servers.")
    fitting = (FILE_SERVER,) if of_files else SERVER_TYPES
    kind = node["type"].text(f"Write type: {' or '.join(fitting)}.")
    environment = node["environment"].text("Say which environment this server is for.")
    if kind is not None and kind not in (FILE_SERVER, *SERVER_TYPES):
        node["type"].refuse(f"server type '{kind}' is not supported by this version", f"Write type: {' or '.join(fitting)}.")
    elif kind is not None and kind not in fitting:
        what = "files are not read from" if of_files else "only files are read from"
        node["type"].refuse(f"{what} a server of type '{kind}'", f"Write type: {' or '.join(fitting)}.")
    if environments is not None and environment is not None:
        _check_secret(node, None if kind == FILE_SERVER else name, environment, environments)  # a role reads files, no password
    if name is None or kind not in fitting or environment is None:
        return None
    if of_files:
        location, written = read_location(node)
        return Server(
            name=name, type=FILE_SERVER, environment=environment, host=None, port=None, database=None, schema=None, location=location, format=written
        )
    for key in ("location", "format", "delimiter"):
        if not node[key].absent:
            node[key].refuse(f"'{key}' of a server of type {kind}", f"Leave it out: it is for files, on a server of type {FILE_SERVER}.")
    port = node["port"].integer(1, 65535)
    host, database, schema = (node[key].optional_text() for key in ("host", "database", "schema"))
    return Server(name=name, type=kind, environment=environment, host=host, port=port, database=database, schema=schema)


def _check_secret(node: Node, name: str | None, environment: str, environments: Mapping[str, Environment]) -> None:
    if environment not in environments:
        node["environment"].refuse(f"'{environment}' is not an environment of environments.toml", did_you_mean(environment, environments))
    elif name is not None and name not in environments[environment].secrets.servers:
        node["server"].refuse(
            f"server '{name}' has no secret in environment '{environment}'",
            f'Add it to environments.toml: secrets.servers.{name} = "<name in Secrets Manager>".',
        )
