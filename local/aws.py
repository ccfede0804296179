"""The emulator as AWS's own tools see it: one value that gives environment variables and boto3 clients."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config

# Of the account's root, who may do everything there and listens on this machine alone: it protects nothing.
_ROOTS_KEY = "emulator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Credentials that requests are signed with."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulated:
    """Where the emulator listens, and who asks: the account's root, whose access key is the account's number, or a role's session."""

    endpoint: str
    account: str
    region: str
    session: Keys | None = None

    @property
    def keys(self) -> Keys:
        return self.session or Keys(access_key=self.account, secret_key=_ROOTS_KEY)

    def environment(self) -> Mapping[str, str]:
        """What boto3, S3A and the AWS command line need to find it, and not AWS."""
        token = {} if self.keys.session_token is None else {"AWS_SESSION_TOKEN": self.keys.session_token}
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.keys.access_key,
            "AWS_SECRET_ACCESS_KEY": self.keys.secret_key,
            **token,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str) -> Any:
        """A boto3 client that answers quickly when nobody is there; the same one each time, for making one costs more than asking it."""
        return _client(self, service)


@lru_cache(maxsize=64)
def _client(aws: Emulated, service: str) -> Any:
    client: Any = boto3.session.Session(
        aws_access_key_id=aws.keys.access_key,
        aws_secret_access_key=aws.keys.secret_key,
        aws_session_token=aws.keys.session_token,
        region_name=aws.region,
    ).client
    return client(
        service,
        endpoint_url=aws.endpoint,
        config=Config(connect_timeout=5, read_timeout=120, retries={"max_attempts": 2}, s3={"addressing_style": "path"}),
    )
