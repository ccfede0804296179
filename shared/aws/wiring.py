"""The ports of a Lambda, built once per container from one environment variable and the lake that was shipped with the code."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from shared.aws.delta_log import S3DeltaLog
from shared.aws.documents import S3Documents
from shared.aws.executions import Executions
from shared.aws.state import DynamoState
from shared.aws.timer import ScheduleTimer
from shared.core.errors import ContractError
from shared.spec.environment import Environment
from shared.spec.lake import PinnedLake, shipped_lake

ENVIRONMENT = "SLUICE_ENVIRONMENT"


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaPorts:
    """What a step needs beside its request and its log."""

    pinned: PinnedLake
    environment: Environment
    state: DynamoState
    documents: S3Documents
    delta_log: S3DeltaLog
    executions: Executions
    timer: ScheduleTimer

    @classmethod
    def of(cls, pinned: PinnedLake, environment: Environment) -> "LambdaPorts":
        return cls(
            pinned=pinned,
            environment=environment,
            state=DynamoState(environment.state_table, region=environment.region),
            documents=S3Documents(environment.bucket, region=environment.region),
            delta_log=S3DeltaLog(environment.bucket, region=environment.region),
            executions=Executions(environment),
            timer=ScheduleTimer(environment.scheduler, region=environment.region),
        )

    @staticmethod
    def from_environment() -> "LambdaPorts":
        """The same object in one container. Raises ContractError naming the variable that is not set."""
        name = os.environ.get(ENVIRONMENT)
        if not name:
            raise ContractError(f"{ENVIRONMENT} is not set; the stack sets it to a name of lake/environments.toml")
        return _ports_of(name)


@cache
def _ports_of(name: str) -> LambdaPorts:
    pinned = shipped_lake()
    return LambdaPorts.of(pinned, pinned.lake.environment(name))
