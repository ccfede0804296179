"""What Glue lets the account run at once, against what a run of this lake asks for at full size."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from botocore.exceptions import ClientError

from cli.doctor_found import Account, Found, Line, look, ok, warning, wrong
from shared.aws.clients import code_of
from shared.spec.environment import Environment
from shared.spec.lake import Lake, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Of the stage that asks for most of each: Glue runs at once, and their DPUs with every worker there."""

    runs: int
    dpus: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """One of Glue's, per account and region."""

    code: str
    name: str


RUNS = Quota(code="L-5E4153CA", name="concurrent job runs")
DPUS = Quota(code="L-08F3B322", name="DPUs at once")


def quota_lines(lake: Lake, account: Account) -> Iterator[Line]:
    here = account.environment
    beside = [other for other in lake.environments.values() if (other.account, other.region) == (here.account, here.region) and other != here]
    need, others = need_of(lake, here), [need_of(lake, other) for other in beside]
    names = [other.name for other in beside]
    yield look("Glue job runs", lambda: _enough(account, RUNS, need.runs, sum(other.runs for other in others), names))
    yield look("Glue DPUs", lambda: _enough(account, DPUS, need.dpus, sum(other.dpus for other in others), names))


def need_of(lake: Lake, environment: Environment) -> Need:
    """Stages follow each other; the groups of one stage run at once. Publish is one run."""
    per_stage = [[environment.workers_of(stage, group).dpus for group in _groups(lake, stage)] for stage in get_args(Stage)]
    return Need(runs=max(map(len, per_stage)), dpus=max(map(sum, per_stage)))


def _groups(lake: Lake, stage: Stage) -> frozenset[str | None]:
    return frozenset(table.group for table in lake.of_stage(stage)) if stage != "publish" else frozenset({None})


def _enough(account: Account, quota: Quota, needed: float, beside: float, names: list[str]) -> Found:
    allowed = _allowed(account, quota)
    found = f"{allowed:g} {quota.name} allowed, a run takes {needed:g} at full size"
    if needed > allowed:
        return wrong(found, _request(account, quota, needed + beside))
    if needed + beside > allowed:
        told = f"{found}; with {', '.join(names)} in the same account and region at the same time {needed + beside:g}"
        return warning(told, _request(account, quota, needed + beside))
    return ok(found)


def _allowed(account: Account, quota: Quota) -> float:
    """What applies to the account; where nothing was ever changed, AWS's default."""
    try:
        answer = account.ask("service-quotas", "get_service_quota", ServiceCode="glue", QuotaCode=quota.code)
    except ClientError as refused:
        if code_of(refused) != "NoSuchResourceException":
            raise
        answer = account.ask("service-quotas", "get_aws_default_service_quota", ServiceCode="glue", QuotaCode=quota.code)
    return float(answer["Quota"]["Value"])


def _request(account: Account, quota: Quota, value: float) -> str:
    asked = f"--service-code glue --quota-code {quota.code} --desired-value {math.ceil(value)}"
    return f"aws service-quotas request-service-quota-increase --region {account.environment.region} {asked}; or ask for fewer workers"
