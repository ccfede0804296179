"""Secrets and the sources behind them: whether each secret is whole, and each source can be reached from here. Prints no password and no key."""

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import psycopg
from botocore.exceptions import ClientError
from psycopg import sql

from cli.add_source import POSTGRES, Login, asking
from cli.doctor_found import DENIED, Account, Found, Line, NotAllowed, look, ok, warning, wrong
from cli.errors import CommandError
from shared.aws.clients import code_of
from shared.aws.secrets import Credentials, Secrets
from shared.core.errors import SecretMissing
from shared.spec.lake import Lake, Server

T = TypeVar("T")
KEY_BYTES = 32
_TIMEOUT_SECONDS = 10
_SHAPE = 'file://secret.json, in it {"username": "…", "password": "…"}'
# In a file: others on a machine can read a command's words.
_RANDOM = "file://key, made by (umask 077; openssl rand -hex 32 | tr -d '\\n' > key)"
_AWS_KEY = "alias/aws/secretsmanager"


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Where a server of the contracts is, before its secret says more, and what is read there."""

    server: Server
    relations: tuple[str, ...]


def source_lines(lake: Lake, account: Account) -> Iterator[Line]:
    """One for each secret, one for each database, one for each folder of files."""
    names = account.environment.secrets
    vault = Secrets(account.environment, client=account.client("secretsmanager"))
    yield look("mask key", lambda: _mask_key(account, vault))
    for name in names.servers:
        yield look(f"secret {name}", partial(_credentials, account, vault, name))
    for database in databases(lake, account.environment.name):
        yield look(f"source {database.server.name}", partial(_source, account, vault, database))
    for name, location in sorted(_locations(lake, account.environment.name)):
        yield look(f"files {name}", partial(_files, account, location))


def databases(lake: Lake, environment: str) -> tuple[Database, ...]:
    """One per place that contracts name."""
    found: dict[tuple[object, ...], list[tuple[Server, str]]] = {}
    for server, relation in _servers(lake, environment):
        if server.location is None:
            found.setdefault((server.name, server.host, server.port, server.database, server.schema), []).append((server, relation))
    return tuple(Database(server=read[0][0], relations=tuple(sorted({relation for _, relation in read}))) for read in found.values())


def _servers(lake: Lake, environment: str) -> Iterator[tuple[Server, str]]:
    for table in lake.sources:
        for server in table.source.servers if table.source is not None else ():
            if server.environment == environment and table.source is not None:
                yield server, table.source.relation


def _locations(lake: Lake, environment: str) -> set[tuple[str, str]]:
    return {(server.name, server.location) for server, _ in _servers(lake, environment) if server.location is not None}


def _mask_key(account: Account, vault: Secrets) -> Found:
    name = account.environment.secrets.mask_key
    try:
        short = len(_allowed(name, vault.mask_key)) < KEY_BYTES
    except SecretMissing as missing:
        return wrong(str(missing), _storing(account, name, _RANDOM))
    if short:
        told = f"{name} has fewer than {KEY_BYTES} bytes: masks could be undone by trying"
        return warning(told, f"before the first run (later it is a new lake: runbooks/mask-key.md): {_storing(account, name, _RANDOM)}")
    return _own_key(account, name) or ok(name)


def _credentials(account: Account, vault: Secrets, server: str) -> Found:
    name = account.environment.secrets.servers[server]
    try:
        _allowed(name, lambda: vault.server(server))
    except SecretMissing as missing:
        return wrong(str(missing), _storing(account, name, _SHAPE))
    return _own_key(account, name) or ok(name)


def _storing(account: Account, name: str, value: str) -> str:
    """The command that gives a secret its value: whether it is there, without one, or waits for its deletion, each has its own."""
    region = f"--region {account.environment.region}"
    try:
        waits = "DeletedDate" in account.ask("secretsmanager", "describe_secret", SecretId=name)
    except ClientError as refused:
        if code_of(refused) != "ResourceNotFoundException":
            raise
        return f"aws secretsmanager create-secret {region} --name {name} --secret-string {value}"
    if waits:
        return f"aws secretsmanager restore-secret {region} --secret-id {name}"
    return f"aws secretsmanager put-secret-value {region} --secret-id {name} --secret-string {value}"


def _own_key(account: Account, name: str) -> Found | None:
    """A secret under a key of its owner is read by ingest only where that key lets it (infra/roles.py gives the secret alone).

    A key of this account may say so by itself; for one of another account the role's own policy must say it too.
    """
    key = account.ask("secretsmanager", "describe_secret", SecretId=name).get("KmsKeyId")
    if key is None or key.endswith(_AWS_KEY):
        return None
    fix = f"let the key's policy allow kms:Decrypt to the role of job {account.environment.job('ingest')}"
    if key.startswith("arn:") and key.split(":")[4] != account.environment.account:
        fix += ", and add kms:Decrypt on it to that role's own policy (the key is another account's: both are asked)"
    fix += f", or put the secret under {_AWS_KEY}"
    return warning(f"{name} is encrypted under {key}, of which no stack speaks", fix)


def _source(account: Account, vault: Secrets, database: Database) -> Found:
    server = database.server
    try:
        held = _allowed(account.environment.secrets.servers[server.name], lambda: vault.server(server.name))
    except SecretMissing:
        return Found(status="unknown", found="not tried without its secret", fix=f"mend secret {server.name}, then ask again")
    host, port, name = held.host or server.host, held.port or server.port, held.database or server.database
    if host is None or port is None or name is None:
        absent = ", ".join(word for word, value in (("host", host), ("port", port), ("database", name)) if value is None)
        return wrong(
            f"neither the contracts nor its secret name its {absent}", f"write it into secret {account.environment.secrets.servers[server.name]}"
        )
    silence = _silence(host, port)
    if silence is not None:
        return _unreached(account, silence)
    if server.type not in POSTGRES:
        return warning(
            f"{host}:{port} answers; this machine has no driver of {server.type}: the login was not tried",
            f"log in once by {server.type}'s own tools with what the secret says; else the first run tries it",
        )
    return _logged_in(_login(host, port, name, held), server.schema, database.relations)


def _silence(host: str, port: int) -> str | None:
    """Why nothing answers; None where something does."""
    try:
        socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS).close()
    except socket.gaierror:
        return f"{host} does not resolve"
    except OSError as failed:
        return f"{host}:{port} does not answer ({failed.strerror or type(failed).__name__})"
    return None


def _unreached(account: Account, silence: str) -> Found:
    """From a VPC the view is another, and only there it counts."""
    network = account.environment.network
    if network is None:
        return wrong(silence, "mend host and port in the contract or the secret, or let connections in; or name a vpc that reaches it")
    return warning(f"{silence} from here; ingest asks from {network.subnet}", f"try it from a machine in {network.vpc}")


def _login(host: str, port: int, database: str, held: Credentials) -> Login:
    return Login(host=host, port=port, database=database, username=held.username, password=held.password)


def _logged_in(login: Login, schema: str | None, relations: Iterable[str]) -> Found:
    """Logged in, and each relation opened without reading a row."""
    place = f"{login.host}:{login.port}/{login.database}"
    try:
        with asking(login) as connection:
            connection.autocommit = True
            if schema is not None:
                connection.execute(sql.SQL("set search_path to {}").format(sql.Identifier(schema)))
            refused = {relation: problem for relation in relations if (problem := _problem(connection, relation)) is not None}
            row = connection.execute("select pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')").fetchone()
    except CommandError as failed:
        return wrong(str(failed), "mend username, password or database in the secret, or the role in the database")
    if refused:
        told = "; ".join(f"{relation}: {problem}" for relation, problem in refused.items())
        return wrong(
            f"{place}: {told}", f"grant usage on the schema and select on {', '.join(refused)} to {login.username}, or mend the contract's source"
        )
    if row is None or not row[0]:
        told = f"{place}: logged in, but not allowed to see open transactions: windows end a safety lag early"
        return warning(told, f"grant pg_read_all_stats to {login.username}")
    return ok(f"{place}: logged in")


def _problem(connection: "psycopg.Connection[tuple[object, ...]]", relation: str) -> str | None:
    try:
        connection.execute(f"select 1 from {relation} limit 0".encode())  # a plain name: the compiler takes no other
    except psycopg.Error as failed:
        return str(failed).strip().splitlines()[0]
    return None


def _files(account: Account, location: str) -> Found:
    bucket, _, folder = location.removeprefix("s3://").partition("/")
    prefix = f"{folder.rstrip('/')}/" if folder else ""
    try:
        listed: Mapping[str, object] = account.ask("s3", "list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)
    except ClientError as refused:
        if code_of(refused) != "NoSuchBucket":
            raise
        return wrong(f"there is no bucket {bucket}", "mend location in the contracts that name it, or create the bucket")
    if not listed.get("KeyCount"):
        return warning(f"{location} is empty", "put a first file there, or mend location in the contracts")
    return ok(location)


def _allowed(name: str, read: Callable[[], T]) -> T:
    """Secrets asks by a client of its own: a denial is told here too."""
    try:
        return read()
    except ClientError as refused:
        if code_of(refused) not in DENIED:
            raise
        raise NotAllowed("secretsmanager:GetSecretValue", name) from refused
