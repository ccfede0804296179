"""One deployment, as `lake/environments.toml` describes it. Values only; what is built from them is in `infra/`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

OPERATOR = "operator"  # who hears of the run as a whole
# Each reads what contracts open to it: analysts gold without classified columns, engineers silver, stewards rejects and what is classified.
Role = Literal["analyst", "engineer", "steward"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Names in Secrets Manager, never values."""

    mask_key: str
    servers: Mapping[str, str]  # contract server name -> secret holding JSON {username, password[, host, port, database]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """How a Glue run is sized."""

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
class Network:
    """The subnet that the ingest job works in, of a VPC from which the sources can be reached."""

    vpc: str
    subnet: str
    zone: str  # of the subnet
    route_table: str | None  # of the subnet: endpoints are made, so that it needs no way out; None: it has endpoints or a way out


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
    workers: Workers  # of every job
    schedule: Schedule | None
    secrets: Secrets
    bucket_name: str | None = None  # None: one is made of prefix, account and region
    undo_days: int = 30  # for so long an object that was overwritten or deleted can be had back
    groups: Mapping[str, Workers] = field(default_factory=dict)  # of a stage ("ingest") or of a group in it ("ingest.slow")
    network: Network | None = None
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by Role, the IAM principals that have it
    admins: tuple[str, ...] = ()  # IAM principals that administer Lake Formation beside the one that deploys
    former_domains: tuple[str, ...] = ()  # that no contract has any more: for the one deployment that takes them from the last table
    sla: Sla = Sla()
    alarms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # team, or the operator -> who gets its messages

    @property
    def prefix(self) -> str:
        return f"sluice-{self.name}"

    @property
    def bucket(self) -> str:
        return self.bucket_name or f"{self.prefix}-{self.account}-{self.region}"

    @property
    def log_bucket(self) -> str:
        """Name of the bucket that S3's access logs go to."""
        return f"{self.bucket}-logs"

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

    def workers_of(self, stage: str, group: str | None = None) -> Workers:
        """Of a group's Glue runs; without a group, of the stage's job."""
        return self.groups.get(f"{stage}.{group}", self.groups.get(stage, self.workers))

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
