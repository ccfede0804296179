"""What an Environment means to CDK. Differences between environments are values made here, never branches on a name."""

from aws_cdk import Environment as CdkEnvironment
from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs

from shared.spec.environment import Environment, Workers
from shared.spec.lake import Stage

# A Glue run waits for capacity and starts before its own timeout counts; the state that started it must outlast both.
START_UP_SECONDS = 900
# Recovery's publish, then ingest, refine, stage, publish.
GLUE_STATES = 5
LAMBDAS_SECONDS = 3600

CORES = {"G.025X": 2, "G.1X": 4, "G.2X": 8, "G.4X": 16, "G.8X": 32, "G.12X": 48, "G.16X": 64, "R.1X": 4, "R.2X": 8, "R.4X": 16, "R.8X": 32}


class BadEnvironment(ValueError):
    """A value of `lake/environments.toml` that AWS does not offer."""


def cdk_environment(environment: Environment) -> CdkEnvironment:
    return CdkEnvironment(account=environment.account, region=environment.region)


def removal_policy(environment: Environment) -> RemovalPolicy:
    return RemovalPolicy.RETAIN if environment.keeps_data else RemovalPolicy.DESTROY


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
