"""Events and answers of the Lambdas: names and numbers only, so that the state machine's payload stays small. Plain values with a JSON form."""

from dataclasses import dataclass
from typing import Any

from shared.core.messages import Replay, RunStatus
from shared.spec.lake import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One execution as the state machine tells of it."""

    run: str
    machine: str  # ARN of the state machine
    input: Any  # as it was started with; `choice.plan_request` reads it


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """The same, its input read: each field with a default is a word that the input may hold."""

    run: str
    machine: str
    scheduled: str | None = None  # the schedule's own time; None when started by hand
    tables: tuple[str, ...] = ()  # limits the run to these and what they need; none: every table
    full_refresh: tuple[str, ...] = ()  # to be computed anew from all of their inputs
    replay: Replay | None = None  # rejects to inject again


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAnswer:
    fence: int
    recover: str | None  # a run whose intent must be finished first
    duplicate: bool  # this schedule was already run: nothing to do
    groups: tuple[str, ...]  # ingest's


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRequest:
    run: str
    fence: int
    stage: Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class GateAnswer:
    groups: tuple[str, ...]  # the next stage's; publish is one group, or none
    halted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRequest:
    run: str
    fence: int
    target: str  # the run whose intent becomes true: `run` itself, or the one being recovered


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitAnswer:
    status: RunStatus
    blocked: str  # the blocked tables, comma-separated; empty when none


@dataclass(frozen=True, slots=True, kw_only=True)
class FailRequest:
    run: str
    machine: str
    error: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailAnswer:
    status: RunStatus
    released: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest:
    """Nothing is asked for: the time is the function's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRequest:
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAnswer:
    html: str  # s3 key
    json: str
