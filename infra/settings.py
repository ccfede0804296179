"""What an Environment means to CDK. Differences between environments are values made here, never branches on a name."""

from aws_cdk import Environment as CdkEnvironment
from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs
from constructs import Construct

from shared.spec.environment import Environment, Workers
from shared.spec.lake import Stage

# A Glue run waits for capacity and starts before its own timeout counts; the state that started it must outlast both.
START_UP_SECONDS = 900
# Recovery's publish, then ingest, refine, stage, publish.
GLUE_STATES = 5
LAMBDAS_SECONDS = 3600
DELETE = "delete_data"

CORES = {"G.025X": 2, "G.1X": 4, "G.2X": 8, "G.4X": 16, "G.8X": 32, "G.12X": 48, "G.16X": 64, "R.1X": 4, "R.2X": 8, "R.4X": 16, "R.8X": 32}


class BadEnvironment(ValueError):
    """A value of `lake/environments.toml` that AWS does not offer."""


def cdk_environment(environment: Environment) -> CdkEnvironment:
    return CdkEnvironment(account=environment.account, region=environment.region)


def removal_policy(scope: Construct, environment: Environment) -> RemovalPolicy:
    """What becomes of data when its stack is deleted: kept, but for what a first deployment made before it failed; deleted only by two keys."""
    return RemovalPolicy.DESTROY if deletes_data(scope, environment) else RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE


def deletes_data(scope: Construct, environment: Environment) -> bool:
    """Two keys: the environment does not keep its data, and `-c delete_data=<its name>` says so once more."""
    return not environment.keeps_data and environment.name in named_for_deletion(scope)


def named_for_deletion(scope: Construct) -> frozenset[str]:
    """The environments that `-c delete_data=…` names, with commas between them."""
    return frozenset(name for name in str(scope.node.try_get_context(DELETE) or "").split(",") if name)


def kept_after_all(scope: Construct, environment: Environment) -> str | None:
    """What to tell somebody who has turned one key of two."""
    if environment.keeps_data:
        written = f"environments.{environment.name} keeps_data = true wins over -c {DELETE}={environment.name}: its data is kept"
        return written if environment.name in named_for_deletion(scope) else None
    if deletes_data(scope, environment):
        return None
    return (
        f"{environment.prefix}: keeps_data = false alone deletes nothing: bucket, state and logs outlive their stacks. To have them deleted, deploy "
        f"with -c {DELETE}={environment.name}, then destroy (runbooks/delete-an-environment.md)"
    )


def log_retention(environment: Environment) -> logs.RetentionDays:
    """CloudWatch keeps logs for a closed set of days."""
    days = environment.log_retention_days
    retention = _RETENTION.get(days)
    if retention is None:
        offered = ", ".join(str(day) for day in sorted(_RETENTION))
        raise BadEnvironment(f"environments.{environment.name}: log_retention_days = {days} is not offered by CloudWatch; write one of {offered}")
    return retention


def sizes(environment: Environment, stage: Stage) -> tuple[Workers, ...]:
    """Of every Glue run that a stage may start: its job's own and its groups'."""
    return (environment.workers_of(stage), *(size for key, size in environment.groups.items() if key.startswith(f"{stage}.")))


def cores(environment: Environment, stage: Stage) -> int:
    """Executor cores of the stage's largest run at full size: one of its workers is the driver. Smaller ones coalesce what they do not need."""
    return max(CORES[size.type] * (size.count - 1) for size in sizes(environment, stage))


def job_state_seconds(environment: Environment) -> int:
    """Timeout of a state that runs a Glue job: above that of any job."""
    minutes = max(size.timeout_minutes for size in (environment.workers, *environment.groups.values()))
    return minutes * 60 + START_UP_SECONDS


def machine_seconds(environment: Environment) -> int:
    """Timeout of a whole execution: above the sum of what it can wait for, a recovery included."""
    return GLUE_STATES * job_state_seconds(environment) + LAMBDAS_SECONDS


_RETENTION = {
    1: logs.RetentionDays.ONE_DAY,
    3: logs.RetentionDays.THREE_DAYS,
    5: logs.RetentionDays.FIVE_DAYS,
    7: logs.RetentionDays.ONE_WEEK,
    14: logs.RetentionDays.TWO_WEEKS,
    30: logs.RetentionDays.ONE_MONTH,
    60: logs.RetentionDays.TWO_MONTHS,
    90: logs.RetentionDays.THREE_MONTHS,
    120: logs.RetentionDays.FOUR_MONTHS,
    150: logs.RetentionDays.FIVE_MONTHS,
    180: logs.RetentionDays.SIX_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
    400: logs.RetentionDays.THIRTEEN_MONTHS,
    545: logs.RetentionDays.EIGHTEEN_MONTHS,
    731: logs.RetentionDays.TWO_YEARS,
    1096: logs.RetentionDays.THREE_YEARS,
    1827: logs.RetentionDays.FIVE_YEARS,
    2192: logs.RetentionDays.SIX_YEARS,
    2557: logs.RetentionDays.SEVEN_YEARS,
    2922: logs.RetentionDays.EIGHT_YEARS,
    3288: logs.RetentionDays.NINE_YEARS,
    3653: logs.RetentionDays.TEN_YEARS,
}
