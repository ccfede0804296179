"""Secrets Manager: the masking key and the sources' credentials, read when needed, never kept, printed or passed on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shared.aws import clients
from shared.core.errors import SecretMissing
from shared.spec.environment import Environment

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

ABSENT = ("ResourceNotFoundException", "InvalidRequestException")  # the second: it is marked for deletion


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """How to log in at a server. Place fields are None where the contract's own stand."""

    username: str
    password: str = field(repr=False)
    host: str | None = None
    port: int | None = None
    database: str | None = None
    warehouse: str | None = None
    role: str | None = None


class Secrets:
    """The secrets of one environment, by the names that lake/environments.toml gives them."""

    def __init__(self, environment: Environment, *, client: "SecretsManagerClient | None" = None) -> None:
        self._environment, self._injected = environment, client

    @cached_property
    def _client(self) -> "SecretsManagerClient":
        return self._injected or clients.secrets_manager(self._environment.region)

    def mask_key(self) -> bytes:
        """The key of `hmac` masks: the secret's bytes, of a text its UTF-8. Raises SecretMissing, also when it is empty."""
        setting, name = "secrets.mask_key", self._environment.secrets.mask_key
        if not name:
            raise self._missing(setting, "names no secret")
        key = self._value(name, setting)
        if not key.strip():
            raise self._missing(setting, f"names secret '{name}', which is empty")
        return key

    def server(self, name: str) -> Credentials:
        """The credentials of a contract's server. Raises SecretMissing naming the field that is absent or of a wrong type, never a value."""
        setting = f"secrets.servers.{name}"
        secret = self._environment.secrets.servers.get(name)
        if secret is None:
            known = ", ".join(sorted(self._environment.secrets.servers)) or "none"
            raise self._missing(setting, f"is not there (servers with a secret: {known})")
        held = self._fields(secret, setting)
        port = self._text(held, "port", secret, setting, required=False)
        if port is not None and not port.isdigit():
            raise self._missing(setting, f"names secret '{secret}', whose field 'port' is not a number")
        return Credentials(
            username=str(self._text(held, "username", secret, setting, required=True)),
            password=str(self._text(held, "password", secret, setting, required=True)),
            host=self._text(held, "host", secret, setting, required=False),
            port=None if port is None else int(port),
            database=self._text(held, "database", secret, setting, required=False),
            warehouse=self._text(held, "warehouse", secret, setting, required=False),
            role=self._text(held, "role", secret, setting, required=False),
        )

    def _fields(self, secret: str, setting: str) -> Mapping[str, Any]:
        try:
            held = json.loads(self._value(secret, setting))
        except ValueError:
            held = None
        if not isinstance(held, dict):
            # not chained: the parser's error carries the secret's text
            raise self._missing(setting, f"names secret '{secret}', which is not a JSON object with username and password") from None
        return held

    def _text(self, held: Mapping[str, Any], name: str, secret: str, setting: str, *, required: bool) -> str | None:
        value = held.get(name)
        if value is None and not required:
            return None
        if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
            raise self._missing(setting, f"names secret '{secret}', whose field '{name}' is missing or not a text")
        return str(value)

    def _value(self, secret: str, setting: str) -> bytes:
        try:
            with clients.asking(f"Secrets Manager {secret}"):
                answer = self._client.get_secret_value(SecretId=secret)
        except ClientError as refused:
            if clients.code_of(refused) not in ABSENT:
                raise
            region = self._environment.region
            raise self._missing(setting, f"names secret '{secret}', which does not exist (or has no value) in {region}") from refused
        binary = answer.get("SecretBinary")
        return answer["SecretString"].encode() if binary is None else bytes(binary)

    def _missing(self, setting: str, what: str) -> SecretMissing:
        return SecretMissing(f"lake/environments.toml: [environments.{self._environment.name}] {setting} {what}")
