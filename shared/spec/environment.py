"""One deployment, as `lake/environments.toml` describes it. Values only; what is built from them is in `infra/`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

OPERATOR = "operator"  # who hears of the run as a whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Names in Secrets Manager, never values."""

    mask_key: str
    servers: Mapping[str, str]  # contract server name -> secret holding JSON {username, password[, host, port, database]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """How a Glue job is sized."""

    type: str
    count: int
    timeout_minutes: int

    @property
    def dpus(self) -> float:
        """At full size."""
        size = self.type.partition(".")[2].removesuffix("X")
        return self.count * (float(f"0.{size[1:]}") if size.startswith("0") else float(size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a run starts by itself: an EventBridge Scheduler expression and an IANA time zone."""

    expression: str
    time_zone: str
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sla:
    """How long things may take before an alarm rings."""

    gate_minutes: int = 20  # from plan to gold's gate
    run_minutes: int = 240  # that one run may hold the lake
    start_minutes: int = 30  # from a strike of the schedule to its run


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One deployment of the lake. Its resources' names are derived here and nowhere else."""

    name: str
    account: str
    region: str
    keeps_data: bool
    max_windows: int  # per table and run
    log_retention_days: int
    workers: Workers
    schedule: Schedule | None
    secrets: Secrets
    sla: Sla = Sla()
    alarms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # team, or the operator -> who gets its messages

    @property
    def prefix(self) -> str:
        return f"sluice-{self.name}"

    @property
    def bucket(self) -> str:
        return f"{self.prefix}-{self.account}-{self.region}"

    @property
    def state_table(self) -> str:
        return self.prefix

    @property
    def state_machine(self) -> str:
        return self.prefix

    @property
    def scheduler(self) -> str:
        """Name of the schedule that starts runs."""
        return self.prefix

    @property
    def watcher(self) -> str:
        """Name of the schedule that calls watch."""
        return f"{self.prefix}-watch"

    @property
    def missed_runs(self) -> str:
        """Name of the queue of strikes that could not start a run."""
        return f"{self.prefix}-missed-runs"

    @property
    def machine_arn(self) -> str:
        return f"arn:aws:states:{self.region}:{self.account}:stateMachine:{self.state_machine}"

    def topic(self, owner: str) -> str:
        """Name of the topic of a team. Teams whose names differ by signs alone share one."""
        return f"{self.prefix}-team-{re.sub(r'[^a-z0-9]+', '-', owner.lower()).strip('-')}"

    def topic_arn(self, owner: str) -> str:
        return f"arn:aws:sns:{self.region}:{self.account}:{self.topic(owner)}"

    def job(self, stage: str) -> str:
        """Name of the Glue job of a stage."""
        return f"{self.prefix}-{stage}"

    def function(self, name: str) -> str:
        """Name of a Lambda function."""
        return f"{self.prefix}-{name}"

    def database(self, layer: str) -> str:
        """Name of the Glue database of a layer."""
        return f"{self.prefix}-{layer}".replace("-", "_")
