"""What a bronze table is pulled from: relation, windows, reject tolerance, and one server for every environment."""

import re
from collections.abc import Mapping

from compiler.draft import Draft
from compiler.node import Node
from compiler.problems import did_you_mean
from compiler.source_kinds import FILE_SERVER, kind_of, read_files, read_location, read_snapshot
from compiler.watermark import POSITION_KINDS, WATERMARK_KEYS, read_watermark
from shared.spec.environment import Environment
from shared.spec.lake import Parallel, Server, Source, Tolerance, Widening

SERVER_TYPES = ("postgres", "redshift", "snowflake")

# What a server of each type cannot be reached without; its secret may name another host, port, database or warehouse, and the role.
_NEEDED: Mapping[str, Mapping[str, str]] = {
    "postgres": {},
    "redshift": {"host": "lake.abc123.eu-central-1.redshift.amazonaws.com", "database": "dev", "schema": "public"},
    "snowflake": {"account": "myorg-account1", "database": "SALES", "schema": "PUBLIC", "warehouse": "LAKE_WH"},
}
_PORTS: Mapping[str, int] = {"redshift": 5439, "snowflake": 443}  # of the service; PostgreSQL's is wherever it was put
_RELATION = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*){0,2}")


def read_source(draft: Draft, environments: Mapping[str, Environment] | None) -> Source | None:
    """The source of an `append` table; None, with the problems written down, when something in it does not hold."""
    options = draft.options
    kind = kind_of(draft, f"Add watermark: {{{', '.join(WATERMARK_KEYS)}}}; or in its place snapshot, or files.")
    watermark = read_watermark(draft, options["watermark"]) if kind == "watermark" else None
    snapshot = read_snapshot(draft) if kind == "snapshot" else None
    files = read_files(draft) if kind == "files" else None
    relation = _read_relation(options["source"]) if options["files"].absent else files.pattern if files else None
    tolerance = _read_tolerance(options["reject_tolerance"])
    servers = _read_servers(draft, environments)
    parallel, widening = _read_parallel(draft), _read_widening(options["widening"])
    if relation is None or tolerance is None or not (watermark or snapshot or files):
        return None
    return Source(
        relation=relation,
        watermark=watermark,
        reject_tolerance=tolerance,
        servers=servers,
        parallel=parallel,
        widening=widening,
        snapshot=snapshot,
        files=files,
    )


def _read_relation(node: Node) -> str | None:
    relation = node.text("Name the table or view to read: schema.table.")
    if relation is not None and not _RELATION.fullmatch(relation):
        node.refuse(f"source '{relation}' is not a plain name, and names are never quoted", "Write schema.table with letters, digits and _.")
    return relation


def _read_parallel(draft: Draft) -> Parallel | None:
    node = draft.options["parallel"]
    if node.absent:
        return None
    node.only(("column", "parts"), what="parallel")
    name = node["column"].column(draft.names, draft.name, "Name the column whose ranges are read at once: a number, date or time.")
    parts = node["parts"].integer(2, 64, required=True)
    column = draft.column(name) if name else None
    if column is not None and column.type is not None and column.type not in POSITION_KINDS:
        node["column"].refuse(f"'{column.name}' is {column.type}, which has no ranges of even width", "Name an integer, date or timestamp column.")
    return None if name is None or parts is None else Parallel(column=name, parts=parts)


def _read_widening(node: Node) -> Widening:
    return "accept" if not node.absent and node.word(("refuse", "accept"), "Write refuse or accept.") == "accept" else "refuse"


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
    if name is None or kind is None or kind not in fitting or environment is None:
        return None
    return _file_server(node, name, environment) if of_files else _database_server(node, name, kind, environment)


def _file_server(node: Node, name: str, environment: str) -> Server:
    location, written = read_location(node)
    return Server(
        name=name, type=FILE_SERVER, environment=environment, host=None, port=None, database=None, schema=None, location=location, format=written
    )


def _database_server(node: Node, name: str, kind: str, environment: str) -> Server:
    for key in ("location", "format", "delimiter"):
        if not node[key].absent:
            node[key].refuse(f"'{key}' of a server of type {kind}", f"Leave it out: it is for files, on a server of type {FILE_SERVER}.")
    for key, example in _NEEDED[kind].items():
        node[key].text(f"A {kind} server needs it: {key}: {example}.")
    host, database, schema, account, warehouse = (node[key].optional_text() for key in ("host", "database", "schema", "account", "warehouse"))
    if host is None and account is not None:
        host = f"{account.lower().replace('_', '-')}.snowflakecomputing.com"
    port = node["port"].integer(1, 65535) or _PORTS.get(kind)
    return Server(
        name=name,
        type=kind,
        environment=environment,
        host=host,
        port=port,
        database=database,
        schema=schema,
        account=account if kind == "snowflake" else None,
        warehouse=warehouse if kind == "snowflake" else None,
    )


def _check_secret(node: Node, name: str | None, environment: str, environments: Mapping[str, Environment]) -> None:
    if environment not in environments:
        node["environment"].refuse(f"'{environment}' is not an environment of environments.toml", did_you_mean(environment, environments))
    elif name is not None and name not in environments[environment].secrets.servers:
        node["server"].refuse(
            f"server '{name}' has no secret in environment '{environment}'",
            f'Add it to environments.toml: secrets.servers.{name} = "<name in Secrets Manager>".',
        )
