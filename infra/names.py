"""Names that the stacks give and others ask for too: their own, of databases, tags and log groups, and of services that get endpoints. Imports no
aws_cdk."""

from collections.abc import Mapping
from typing import Literal

from infra.access import FUNCTIONS, JOBS
from shared.spec.environment import Environment
from shared.spec.lake import Stage

Part = Literal["storage", "network", "signals", "catalogue", "compute", "workflow"]  # a stack each
Shelf = Literal["silver", "gold", "rejects"]  # what a database of the catalogue holds
Tag = Literal["layer", "classification", "domain", "readers"]  # of Lake Formation

ANSWERS = "_athena"  # below the lake's bucket, where Athena puts what `sluice sql` asked it

# What the ingest job calls from a subnet without a way out. Over gateways, which cost nothing: its data and its state. KMS is called by Glue
# itself, in the job's name, where a job has a security configuration.
GATEWAYS = ("s3", "dynamodb")
INTERFACES = ("glue", "kms", "logs", "monitoring", "secretsmanager")


def stack_name(environment: Environment, part: Part) -> str:
    return f"{environment.prefix}-{part}"


def tag_key(environment: Environment, tag: Tag) -> str:
    """Tags are the account's: environments that share one keep theirs apart."""
    return f"{environment.prefix}-{tag}"


def connection_name(environment: Environment) -> str:
    """Of the place in a VPC that the ingest job works in."""
    return environment.job("ingest")


def log_groups(environment: Environment) -> Mapping[str, str]:
    """Every log group of a lake, by a label: of each Lambda, of both streams of each job, of the state machine."""
    functions = {f"{name.title()}Logs": f"/aws/lambda/{environment.function(name)}" for name in FUNCTIONS}
    jobs = {f"{stage.title()}{stream.title()}Logs": f"{job_logs(environment, stage)}/{stream}" for stage in JOBS for stream in ("error", "output")}
    return {**functions, **jobs, "MachineLogs": f"/aws/vendedlogs/states/{environment.state_machine}"}


def job_logs(environment: Environment, stage: Stage) -> str:
    """How the names of a job's log groups begin."""
    return f"/aws-glue/{environment.job(stage)}"
