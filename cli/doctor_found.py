"""What `sluice doctor` says of an environment, line by line, and how it asks AWS: with the caller's own credentials, and reading alone."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from cli.errors import CommandError
from shared.aws import clients
from shared.core.errors import SluiceError
from shared.spec.environment import Environment

Status = Literal["ok", "warning", "wrong", "unknown"]  # unknown: it could not be looked at, which is not ok

DENIED = ("AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException", "UnauthorizedOperation")
# Whose name is not that of the operation, or whose service signs as "monitoring".
_ACTIONS: Mapping[str, str] = {
    "HeadBucket": "s3:ListBucket",
    "ListBuckets": "s3:ListAllMyBuckets",
    "ListObjectsV2": "s3:ListBucket",
    "DescribeAlarms": "cloudwatch:DescribeAlarms",
    "GetDashboard": "cloudwatch:GetDashboard",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a look came to. `fix` is what to type or write; None where nothing is to be done."""

    status: Status
    found: str
    fix: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that was looked at."""

    what: str
    status: Status
    found: str
    fix: str | None

    @property
    def ok(self) -> bool:
        """A warning stops no deployment."""
        return self.status in ("ok", "warning")


def ok(found: str) -> Found:
    return Found(status="ok", found=found)


def warning(found: str, fix: str) -> Found:
    return Found(status="warning", found=found, fix=fix)


def wrong(found: str, fix: str) -> Found:
    return Found(status="wrong", found=found, fix=fix)


class NotAllowed(CommandError):
    """These credentials may not look."""

    def __init__(self, action: str, about: str) -> None:
        self.action = action
        super().__init__(f"{action} on {about}")


class Account:
    """AWS as one environment's account and region show it. `client` gives a boto3 client by its service."""

    def __init__(self, environment: Environment, client: Callable[[str], Any]) -> None:
        self.environment, self._client = environment, client
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._client(service)
        return self._clients[service]

    def ask(self, service: str, operation: str, **parameters: Any) -> Mapping[str, Any]:
        """The answer of `operation`, spelled as boto3's method. Raises NotAllowed with the action that is missing, else botocore's own errors."""
        with self._allowed(service, operation, parameters):
            answer: Mapping[str, Any] = getattr(self.client(service), operation)(**parameters)
            return answer

    def pages(self, service: str, operation: str, key: str, **parameters: Any) -> Iterator[Any]:
        """Everything under `key` of all pages. Raises as `ask` does."""
        with self._allowed(service, operation, parameters):
            for page in self.client(service).get_paginator(operation).paginate(**parameters):
                yield from page.get(key, ())

    def there(self, absent: tuple[str, ...], service: str, operation: str, **parameters: Any) -> bool:
        """Whether the one thing is there that `operation` describes; `absent` are the codes that say it is not. Raises as `ask` does."""
        try:
            self.ask(service, operation, **parameters)
        except ClientError as refused:
            if clients.code_of(refused) not in absent:
                raise
            return False
        return True

    @contextmanager
    def _allowed(self, service: str, operation: str, parameters: Mapping[str, Any]) -> Iterator[None]:
        """Turns a denial into NotAllowed."""
        try:
            yield
        except ClientError as refused:
            if clients.code_of(refused) not in DENIED:
                raise
            meta = self.client(service).meta
            name = meta.method_to_api_mapping[operation]
            about = ", ".join(value for value in parameters.values() if isinstance(value, str)) or "*"
            raise NotAllowed(_ACTIONS.get(name, f"{meta.service_model.signing_name}:{name}"), about) from refused


def look(what: str, at: Callable[[], Found]) -> Line:
    """One line. What could not be looked at is unknown, with the permission that is missing or what AWS said."""
    try:
        found = at()
    except NotAllowed as refused:
        found = Found(
            status="unknown", found=f"could not be looked at: these credentials may not {refused}", fix=f"allow them {refused.action}, then ask again"
        )
    except ClientError as refused:
        said = refused.response["Error"].get("Message", "")
        found = _unasked(f"AWS, {refused.operation_name}: {said} ({clients.code_of(refused)})")
    except (BotoCoreError, SluiceError, CommandError) as failed:
        found = _unasked(str(failed))
    return Line(what=what, status=found.status, found=found.found, fix=found.fix)


def _unasked(said: str) -> Found:
    return Found(status="unknown", found=f"could not be looked at: {said}", fix="mend that, then ask again")
