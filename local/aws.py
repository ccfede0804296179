"""The emulator as AWS's own tools see it: one value that gives environment variables and boto3 clients."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

# Of the account's root, who may do everything there and listens on this machine alone: it protects nothing.
_ROOTS_KEY = "emulator"
_session = boto3.session.Session()  # knows the services' models, which take long to read; a client of it costs little
_making = threading.Lock()  # a session is not to be used by two threads at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Credentials that requests are signed with."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    def environment(self) -> Mapping[str, str]:
        token = {} if self.session_token is None else {"AWS_SESSION_TOKEN": self.session_token}
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key, **token}


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulated:
    """Where the emulator listens, and as which account and region it is asked."""

    endpoint: str
    account: str
    region: str

    @property
    def root(self) -> Keys:
        """Of the account's root: a 12-digit access key *is* the account to the emulator."""
        return Keys(access_key=self.account, secret_key=_ROOTS_KEY)

    def place(self) -> Mapping[str, str]:
        """What boto3, S3A and the AWS command line need to find it, and not AWS."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def environment(self) -> Mapping[str, str]:
        """Its place, and root's keys."""
        return {**self.place(), **self.root.environment()}

    def client(self, service: str) -> Any:
        """Root's boto3 client, which answers quickly when nobody is there; the same one each time."""
        return _roots_client(self, service)

    def client_of(self, keys: Keys, service: str) -> Any:
        """A boto3 client of somebody else's."""
        with _making:
            return _session.client(  # type: ignore[call-overload]  # the service is no literal
                service,
                aws_access_key_id=keys.access_key,
                aws_secret_access_key=keys.secret_key,
                aws_session_token=keys.session_token,
                region_name=self.region,
                endpoint_url=self.endpoint,
                config=Config(connect_timeout=5, read_timeout=120, retries={"max_attempts": 2}, s3={"addressing_style": "path"}),
            )


@cache
def _roots_client(aws: Emulated, service: str) -> Any:
    return aws.client_of(aws.root, service)
