"""Roles from the role table: listed actions on listed resources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

from infra.access import Access, Kind
from infra.acknowledgements import accept_stars
from shared.spec.environment import Environment
from shared.spec.lake import STAGE_OF

STAGES = (*STAGE_OF.values(), "publish")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What a lake owns that roles are granted on."""

    environment: Environment
    bucket: s3.IBucket
    state: dynamodb.ITable
    key: kms.IKey
    locations: tuple[str, ...] = ()  # s3://bucket/folder of every source of files
    topics: tuple[str, ...] = ()  # ARN of every owner's topic


def grant(role: iam.Role, access: Access, holdings: Holdings) -> None:
    """Give `role` what the table says, and nothing else."""
    statements = (
        *_state(access, holdings),
        *_objects(access, holdings, role),
        *_watching(access, holdings, role),
        *_secrets(access, holdings, role),
        *_sources_of_files(access, holdings, role),
    )
    for statement in statements:
        role.add_to_policy(statement)
    folders = [folder_arn(role, holdings.environment, folder) for folder in dict.fromkeys((*access.reads_from, *access.writes_to))]
    accept_stars(role, folders, "The star ends a folder of this lake's bucket: the objects in it come and go.")
    if access.secrets and holdings.locations:
        files = [f"{_bucket_arn(role, location)}/{_folder(location)}*" for location in holdings.locations]
        accept_stars(role, files, "The star ends a folder that a contract names as its source: files come and go.")
    if access.watches:
        reason = "The star is an execution's name: who holds the lock is known when it is asked for."
        accept_stars(role, [executions_arn(role, holdings.environment)], reason)


def _state(access: Access, holdings: Holdings) -> Sequence[iam.PolicyStatement]:
    table = holdings.state.table_arn
    read = iam.PolicyStatement(
        sid="ReadState",
        actions=["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:ConditionCheckItem"],
        resources=[table],
    )
    key = iam.PolicyStatement(sid="UseKey", actions=["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"], resources=[holdings.key.key_arn])
    written = [_of_kinds("WriteState", ["dynamodb:PutItem", "dynamodb:UpdateItem"], access.writes, table)] if access.writes else []
    dropped = [_of_kinds("DropState", ["dynamodb:DeleteItem"], access.drops, table)] if access.drops else []
    return (read, key, *written, *dropped)


def _of_kinds(sid: str, actions: Sequence[str], kinds: Sequence[Kind], table: str) -> iam.PolicyStatement:
    """ForAllValues alone also holds for a request that names no key at all; Null closes that."""
    conditions: Mapping[str, Mapping[str, object]] = {
        "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": list(kinds)},
        "Null": {"dynamodb:LeadingKeys": "false"},
    }
    return iam.PolicyStatement(sid=sid, actions=list(actions), resources=[table], conditions=conditions)


def _objects(access: Access, holdings: Holdings, role: iam.Role) -> Sequence[iam.PolicyStatement]:
    bucket, statements = holdings.bucket, list[iam.PolicyStatement]()
    if access.reads_from or access.writes_to:
        # On the whole bucket: without it S3 answers "forbidden" instead of "not there" for a missing document. Keys hold no data.
        statements.append(iam.PolicyStatement(sid="ListLake", actions=["s3:ListBucket", "s3:GetBucketLocation"], resources=[bucket.bucket_arn]))
    if access.reads_from:
        statements.append(_on_folders("ReadLake", ["s3:GetObject"], access.reads_from, holdings, role))
    if access.writes_to:
        removal = ["s3:DeleteObject"] if access.replaces else []
        statements.append(_on_folders("WriteLake", ["s3:PutObject", "s3:AbortMultipartUpload", *removal], access.writes_to, holdings, role))
    return statements


def _on_folders(sid: str, actions: Sequence[str], folders: Sequence[str], holdings: Holdings, role: iam.Role) -> iam.PolicyStatement:
    # The star ends a folder: the objects in it come and go.
    return iam.PolicyStatement(sid=sid, actions=list(actions), resources=[folder_arn(role, holdings.environment, folder) for folder in folders])


def _watching(access: Access, holdings: Holdings, role: iam.Role) -> Sequence[iam.PolicyStatement]:
    jobs = [job_arn(role, holdings.environment, stage) for stage in STAGES]
    statements = list[iam.PolicyStatement]()
    if access.watches:
        statements.append(iam.PolicyStatement(sid="WatchJobs", actions=["glue:GetJobRun", "glue:GetJobRuns"], resources=jobs))
        # The star is the execution's name: which one holds the lock is known when it is asked for.
        statements.append(
            iam.PolicyStatement(sid="WatchRuns", actions=["states:DescribeExecution"], resources=[executions_arn(role, holdings.environment)])
        )
    if access.meters:
        statements.append(iam.PolicyStatement(sid="MeterJobs", actions=["glue:GetJobRun"], resources=jobs))
    if access.alerts:
        statements.append(iam.PolicyStatement(sid="TellOwners", actions=["sns:Publish"], resources=list(holdings.topics)))
    if access.times:
        timer = Stack.of(role).format_arn(service="scheduler", resource="schedule", resource_name=f"default/{holdings.environment.scheduler}")
        statements.append(iam.PolicyStatement(sid="WatchSchedule", actions=["scheduler:GetSchedule"], resources=[timer]))
    if access.stops:
        statements.append(iam.PolicyStatement(sid="StopJobs", actions=["glue:BatchStopJobRun"], resources=jobs))
    return statements


def _secrets(access: Access, holdings: Holdings, role: iam.Role) -> Sequence[iam.PolicyStatement]:
    if not access.secrets:
        return ()
    names = holdings.environment.secrets
    # Secrets Manager ends a secret's ARN with six characters of its own: exactly six, so that no longer name fits.
    arns = [secret_arn(role, name) for name in sorted({names.mask_key, *names.servers.values()})]
    return (iam.PolicyStatement(sid="ReadSecrets", actions=["secretsmanager:GetSecretValue"], resources=arns),)


def _sources_of_files(access: Access, holdings: Holdings, role: iam.Role) -> Sequence[iam.PolicyStatement]:
    """Reading what contracts name as locations of files, and nothing beside it. A bucket under a key of its owner
    needs that key's consent too, and one under a key of another account kms:Decrypt in the role's own policy besides, which nothing here gives."""
    statements = list[iam.PolicyStatement]()
    for location in holdings.locations if access.secrets else ():
        bucket, folder = _bucket_arn(role, location), _folder(location)
        listing = iam.PolicyStatement(actions=["s3:ListBucket"], resources=[bucket])
        # S3A asks for the folder itself too, to tell an empty one from one that is not there
        listing.add_condition("StringLike", {"s3:prefix": [f"{folder}*", folder.rstrip("/")]})
        statements += [listing, iam.PolicyStatement(actions=["s3:GetObject"], resources=[f"{bucket}/{folder}*"])]
    return statements


def _bucket_arn(role: iam.Role, location: str) -> str:
    return Stack.of(role).format_arn(service="s3", region="", account="", resource=location.removeprefix("s3://").partition("/")[0])


def _folder(location: str) -> str:
    """Key prefix of a location, with its last slash; empty for a whole bucket."""
    folder = location.removeprefix("s3://").partition("/")[2]
    return f"{folder}/" if folder else ""


def folder_arn(role: iam.Role, environment: Environment, folder: str) -> str:
    """By the bucket's name: through the bucket object it would be an import whose finding cannot be named, and so not acknowledged."""
    return Stack.of(role).format_arn(service="s3", region="", account="", resource=environment.bucket, resource_name=folder)


def job_arn(role: iam.Role, environment: Environment, stage: str) -> str:
    return Stack.of(role).format_arn(service="glue", resource="job", resource_name=environment.job(stage))


def executions_arn(role: iam.Role, environment: Environment) -> str:
    return Stack.of(role).format_arn(
        service="states", resource="execution", resource_name=f"{environment.state_machine}:*", arn_format=ArnFormat.COLON_RESOURCE_NAME
    )


def secret_arn(role: iam.Role, name: str) -> str:
    return Stack.of(role).format_arn(
        service="secretsmanager", resource="secret", resource_name=f"{name}-??????", arn_format=ArnFormat.COLON_RESOURCE_NAME
    )
