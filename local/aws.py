"""The emulator as AWS's own tools see it: one value that gives environment variables and boto3 clients."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

# Every permission check is off there, so this protects nothing; botocore only wants a key to sign with.
_KEY_MATERIAL = "emulator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulated:
    """Where the emulator listens, and as which account and region it is asked: a 12-digit access key *is* the account to it."""

    endpoint: str
    account: str
    region: str

    def environment(self) -> Mapping[str, str]:
        """What boto3, S3A and the AWS command line need to find it, and not AWS."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.account,
            "AWS_SECRET_ACCESS_KEY": _KEY_MATERIAL,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str) -> Any:
        """A boto3 client that answers quickly when nobody is there; the same one each time, for making one costs more than asking it."""
        return _client(self, service)


@cache
def _client(aws: Emulated, service: str) -> Any:
    client: Any = boto3.session.Session(aws_access_key_id=aws.account, aws_secret_access_key=_KEY_MATERIAL, region_name=aws.region).client
    return client(
        service,
        endpoint_url=aws.endpoint,
        config=Config(connect_timeout=5, read_timeout=120, retries={"max_attempts": 2}, s3={"addressing_style": "path"}),
    )
