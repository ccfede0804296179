"""boto3 clients: the one place for timeouts and retries, and for telling a service's bad moment from a mistake of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError, IncompleteReadError

from shared.core.errors import StateUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_stepfunctions import SFNClient

CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 5})
_one_at_a_time = Lock()  # a client that is there serves any number of threads; the session that makes it does not

TRANSIENT_CODES = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "InternalServiceException",
        "LimitExceededException",
        "OperationTimeoutException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ResourceNumberLimitExceededException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    }
)


def dynamodb(region: str | None) -> "DynamoDBClient":
    with _one_at_a_time:
        return boto3.client("dynamodb", region_name=region, config=CONFIG)


def s3(region: str | None) -> "S3Client":
    with _one_at_a_time:
        return boto3.client("s3", region_name=region, config=CONFIG)


def glue(region: str | None) -> "GlueClient":
    with _one_at_a_time:
        return boto3.client("glue", region_name=region, config=CONFIG)


def step_functions(region: str | None) -> "SFNClient":
    with _one_at_a_time:
        return boto3.client("stepfunctions", region_name=region, config=CONFIG)


def secrets_manager(region: str | None) -> "SecretsManagerClient":
    with _one_at_a_time:
        return boto3.client("secretsmanager", region_name=region, config=CONFIG)


def scheduler(region: str | None) -> Any:
    with _one_at_a_time:
        return boto3.client("scheduler", region_name=region, config=CONFIG)


def sns(region: str | None) -> Any:
    with _one_at_a_time:
        return boto3.client("sns", region_name=region, config=CONFIG)


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn throttling, 5xx answers and silence, after botocore's own retries, into StateUnavailable naming `what`; let every other error through."""
    try:
        yield
    except (ConnectionError, HTTPClientError, IncompleteReadError) as silence:
        raise StateUnavailable(f"{what}: no answer ({type(silence).__name__}) after {attempts()} attempts") from silence
    except ClientError as refused:
        if not is_transient(refused):
            raise
        raise StateUnavailable(f"{what}: {code_of(refused)} after {attempts()} attempts") from refused


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def is_transient(error: ClientError) -> bool:
    status: Any = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code_of(error) in TRANSIENT_CODES or int(status) >= 500


def attempts() -> int:
    return int(CONFIG.retries["total_max_attempts"])  # type: ignore[attr-defined]  # botocore sets its options as attributes at run time
