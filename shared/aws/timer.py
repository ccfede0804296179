"""ports.Timer over EventBridge Scheduler."""

from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from shared.aws import clients
from shared.core.errors import BadState


class ScheduleTimer:
    """One schedule of the default group, by its name."""

    def __init__(self, name: str, *, region: str | None = None) -> None:
        self._name, self._region = name, region

    @cached_property
    def _client(self) -> Any:
        return clients.scheduler(self._region)

    def changed_at(self) -> datetime:
        try:
            with clients.asking(f"EventBridge schedule {self._name}"):
                changed: datetime = self._client.get_schedule(Name=self._name)["LastModificationDate"]
        except ClientError as refused:
            if clients.code_of(refused) != "ResourceNotFoundException":
                raise
            raise BadState(f"EventBridge schedule {self._name} does not exist: no run starts by itself; deploy the environment's stacks") from refused
        return changed.astimezone(UTC)
