"""Puts into the emulator's Secrets Manager what the lake reads there: a random mask key, the shop's credentials, and the user's own servers."""

import json
import secrets
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local.aws import Emulated
from local.errors import LaptopError
from local.postgres import Database
from shared.spec.environment import Environment
from shared.spec.lake import Lake

_FIELDS = ("username", "password", "host", "port", "database", "warehouse", "role")


def put_secrets(lake: Lake, environment: Environment, *, database: Database, own: Path, aws: Emulated) -> None:
    """Every secret that the environment names. The mask key is made once and kept; servers not in `own` are the embedded shop.

    Raises LaptopError when the shop does not stand in for a server's type and its values are not in `own`: the file and what to write.
    """
    client = aws.client("secretsmanager")
    if not _exists(client, environment.secrets.mask_key):
        client.create_secret(Name=environment.secrets.mask_key, SecretString=secrets.token_hex(32))
    values, types = own_values(own), _types(lake, environment)
    for server, name in environment.secrets.servers.items():
        text = json.dumps(values.get(server) or _shop(database, server, types.get(server, "postgres"), own))
        if _exists(client, name):
            client.put_secret_value(SecretId=name, SecretString=text)
        else:
            client.create_secret(Name=name, SecretString=text)


def own_values(own: Path) -> Mapping[str, Mapping[str, Any]]:
    """By server, what the user wrote into `.local/secrets.toml`; nothing where there is no such file."""
    if not own.is_file():
        return {}
    try:
        found = tomllib.loads(own.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as broken:
        raise LaptopError(f"{own}: {broken}; write [servers.<name>] with {', '.join(_FIELDS)}") from broken
    servers: Mapping[str, Mapping[str, Any]] = found.get("servers", {})
    for server, values in servers.items():
        unknown, missing = sorted(set(values) - set(_FIELDS)), [field for field in ("username", "password") if not values.get(field)]
        if unknown or missing:
            wrong = f"lacks {missing}" if missing else f"does not know {unknown}"
            raise LaptopError(f"{own}: [servers.{server}] {wrong}; its fields are {', '.join(_FIELDS)}")
    return servers


def _types(lake: Lake, environment: Environment) -> Mapping[str, str]:
    """Type by name of the servers that the lake's tables read; the compiler refuses a name of two types."""
    servers = [server for table in lake.sources if table.source is not None for server in table.source.servers]
    return {server.name: server.type for server in servers if server.environment == environment.name}


def _shop(database: Database, server: str, kind: str, own: Path) -> Mapping[str, Any]:
    """The embedded shop as a server of type `kind`."""
    ports = {"postgres": database.port, "redshift": database.redshift_port}
    if kind not in ports:
        stands_in = f"the laptop stands in for {' and '.join(ports)} alone, and it is of type {kind}"
        raise LaptopError(f"{own}: no values for server '{server}'; {stands_in}. Write [servers.{server}] with {', '.join(_FIELDS)}")
    return {
        "username": database.reader,
        "password": database.reader_password,
        "host": database.host,
        "port": ports[kind],
        "database": database.name,
    }


def _exists(client: Any, name: str) -> bool:
    try:
        client.get_secret_value(SecretId=name)
    except ClientError as refused:
        if refused.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return False
    return True
