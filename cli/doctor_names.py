"""Whether the names that the stacks give are free, or already this environment's own; and whether its stacks can be deployed onto."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, get_args

from botocore.exceptions import ClientError

from cli.doctor_found import Account, Found, Line, look, ok, wrong
from infra.access import FUNCTIONS, JOBS
from infra.alarms import alarms_of
from infra.names import Part, Shelf, Tag, connection_name, log_groups, stack_name, tag_key
from shared.aws.clients import code_of
from shared.spec.environment import Environment
from shared.spec.lake import Lake

_GOOD = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS")
_NEVER_WAS = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED")

Owned = Callable[[str, str], bool]  # a CloudFormation type and a name -> whether a stack of this environment holds it


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Names of one CloudFormation type, and how AWS is asked which of them are there."""

    what: str
    type: str
    names: Sequence[str]
    there: Callable[[Account, str], bool]


def name_lines(lake: Lake, account: Account) -> Iterator[Line]:
    stacks = cache(lambda: _stacks(account))  # both asked once
    resources = cache(lambda: tuple(_resources(account, stacks())))
    yield look("stacks", lambda: _deployable(stacks(), account.environment))

    def owned(kind: str, name: str) -> bool:
        return any(found == kind and _names(physical, name) for found, physical in resources())

    environment = account.environment
    for what, name in _buckets(environment).items():
        yield look(what, partial(_bucket, account, name, owned))
    for names in _kept(environment):
        yield look(names.what, partial(_free, account, names, owned, _taking_back(environment)))
    for names in _made(lake, environment):
        fix = f"delete what is left of an earlier lake, or give environments.{environment.name} another name"
        yield look(names.what, partial(_free, account, names, owned, fix))


def asked_stacks(environment: Environment) -> tuple[str, ...]:
    """Every stack that is asked about."""
    return tuple(stack_name(environment, part) for part in get_args(Part))


def asked_names(lake: Lake, environment: Environment) -> frozenset[tuple[str, str]]:
    """Every name that is asked about, with its CloudFormation type."""
    named = {(names.type, name) for names in (*_kept(environment), *_made(lake, environment)) for name in names.names}
    return frozenset(named | {("AWS::S3::Bucket", name) for name in _buckets(environment).values()})


def _stacks(account: Account) -> Mapping[str, Any]:
    """The environment's stacks that are there, by name."""
    return {name: stack for name in asked_stacks(account.environment) if (stack := _stack(account, name)) is not None}


def _deployable(stacks: Mapping[str, Any], environment: Environment) -> Found:
    for name, stack in stacks.items():
        if stack["StackStatus"] not in _GOOD:
            return wrong(f"{name} is {stack['StackStatus']}", _onwards(name, stack, environment.region))
    return ok(f"{len(stacks)} of them deployed" if stacks else "none deployed yet")


def _onwards(name: str, stack: Any, region: str) -> str:
    """What brings a stack to where it can be deployed again."""
    status, place = stack["StackStatus"], f"--stack-name {name} --region {region}"
    if status == "UPDATE_ROLLBACK_FAILED":
        return f"aws cloudformation continue-update-rollback {place}"
    if status in _NEVER_WAS:
        unlock = f"aws cloudformation update-termination-protection --no-enable-termination-protection {place} && "
        return f"{unlock if stack.get('EnableTerminationProtection') else ''}aws cloudformation delete-stack {place}"
    return "wait until it is done, then ask again"


def _stack(account: Account, name: str) -> Any | None:
    try:
        return account.ask("cloudformation", "describe_stacks", StackName=name)["Stacks"][0]
    except ClientError as refused:
        if code_of(refused) != "ValidationError":  # CloudFormation's word for a stack that is not there
            raise
        return None


def _resources(account: Account, stacks: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Type and physical id of all that these stacks hold."""
    for name in stacks:
        for one in account.pages("cloudformation", "list_stack_resources", "StackResourceSummaries", StackName=name):
            if one["ResourceStatus"] not in ("DELETE_COMPLETE", "DELETE_SKIPPED"):
                yield one["ResourceType"], one.get("PhysicalResourceId", "")


def _names(physical: str, name: str) -> bool:
    """A physical id is a name, or an ARN or address that ends in it."""
    return physical == name or re.split(r"[/:|]", physical)[-1] == name


def _buckets(environment: Environment) -> Mapping[str, str]:
    return {"bucket": environment.bucket, "access log bucket": environment.log_bucket}


def _bucket(account: Account, name: str, owned: Owned) -> Found:
    """A bucket's name is one in the whole world; in this account it may be what an earlier deployment kept."""
    environment = account.environment
    if any(bucket["Name"] == name for bucket in account.pages("s3", "list_buckets", "Buckets")):
        if owned("AWS::S3::Bucket", name):
            return ok(f"{name}, its stack's own")
        return wrong(f"{name} is there and in no stack: kept when its stack was deleted", _taking_back(environment))
    try:
        account.ask("s3", "head_bucket", Bucket=name)
    except ClientError as refused:
        if code_of(refused) == "404":
            return ok(f"{name} is free")
        if code_of(refused) not in ("301", "400", "403"):  # other regions' and other owners' answers
            raise
    return wrong(f"{name} is another account's", f'write bucket = "…", a name of your own, into environments.{environment.name}')


def _taking_back(environment: Environment) -> str:
    command = f'make cdk ARGS="import {environment.prefix}-storage -c env={environment.name}"'
    return f"{command} takes it back, then deploy; or delete it (runbooks/delete-an-environment.md)"


def _free(account: Account, names: Names, owned: Owned, fix: str) -> Found:
    there = [name for name in names.names if names.there(account, name)]
    taken = [name for name in there if not owned(names.type, name)]  # of names that are free, nobody asks whose they are
    if taken:
        return wrong(f"there, and in no stack of this environment: {', '.join(taken)}", fix)
    count = f"{len(names.names)} names" if len(names.names) > 1 else names.names[0]
    return ok(f"{count}: {len(there)} of its stacks, the rest free" if there else f"{count}: free")


def _described(service: str, operation: str, parameter: str, *absent: str) -> Callable[[Account, str], bool]:
    return lambda account, name: account.there(absent, service, operation, **{parameter: name})


def _kept(environment: Environment) -> Iterator[Names]:
    """What outlives its stack."""
    table = _described("dynamodb", "describe_table", "TableName", "ResourceNotFoundException")
    yield Names(what="state table", type="AWS::DynamoDB::Table", names=[environment.state_table], there=table)
    yield Names(what="key alias", type="AWS::KMS::Alias", names=[f"alias/{environment.prefix}"], there=_is_alias)
    yield Names(what="log groups", type="AWS::Logs::LogGroup", names=list(log_groups(environment).values()), there=_is_log_group)


def _made(lake: Lake, environment: Environment) -> Iterator[Names]:
    """What goes with its stack, but for what a broken deletion left."""
    absent = "EntityNotFoundException"
    database = _described("glue", "get_database", "Name", absent)
    yield Names(what="databases", type="AWS::Glue::Database", names=[environment.database(shelf) for shelf in get_args(Shelf)], there=database)
    tag = _described("lakeformation", "get_lf_tag", "TagKey", absent)
    yield Names(what="tags", type="AWS::LakeFormation::Tag", names=[tag_key(environment, one) for one in get_args(Tag)], there=tag)
    job = _described("glue", "get_job", "JobName", absent)
    yield Names(what="jobs", type="AWS::Glue::Job", names=[environment.job(stage) for stage in JOBS], there=job)
    security = _described("glue", "get_security_configuration", "Name", absent)
    yield Names(what="job security", type="AWS::Glue::SecurityConfiguration", names=[environment.prefix], there=security)
    function = _described("lambda", "get_function_configuration", "FunctionName", "ResourceNotFoundException")
    yield Names(what="functions", type="AWS::Lambda::Function", names=[environment.function(name) for name in FUNCTIONS], there=function)
    yield Names(what="state machine", type="AWS::StepFunctions::StateMachine", names=[environment.state_machine], there=_is_machine)
    schedule = _described("scheduler", "get_schedule", "Name", "ResourceNotFoundException")
    yield Names(what="schedules", type="AWS::Scheduler::Schedule", names=[environment.scheduler, environment.watcher], there=schedule)
    queue = _described("sqs", "get_queue_url", "QueueName", "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")
    yield Names(what="missed runs", type="AWS::SQS::Queue", names=[environment.missed_runs], there=queue)
    topics = {environment.topic(owner): environment.topic_arn(owner) for owner in lake.owners}
    yield Names(what="topics", type="AWS::SNS::Topic", names=sorted(topics), there=_among_topics(topics))
    alarms = [alarm.name(environment) for alarm in alarms_of(lake, environment)]
    yield Names(what="alarm names", type="AWS::CloudWatch::Alarm", names=alarms, there=_among_alarms(environment))
    dashboard = _described("cloudwatch", "get_dashboard", "DashboardName", "ResourceNotFound")
    yield Names(what="dashboard", type="AWS::CloudWatch::Dashboard", names=[environment.prefix], there=dashboard)
    if environment.network is not None:
        connection = _described("glue", "get_connection", "Name", absent)
        yield Names(what="connection", type="AWS::Glue::Connection", names=[connection_name(environment)], there=connection)


def _is_alias(account: Account, name: str) -> bool:
    return any(alias["AliasName"] == name for alias in account.pages("kms", "list_aliases", "Aliases"))


def _is_log_group(account: Account, name: str) -> bool:
    return any(group["logGroupName"] == name for group in account.pages("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=name))


def _is_machine(account: Account, name: str) -> bool:
    return account.there(("StateMachineDoesNotExist",), "stepfunctions", "describe_state_machine", stateMachineArn=account.environment.machine_arn)


def _among_topics(arns: Mapping[str, str]) -> Callable[[Account, str], bool]:
    return lambda account, name: account.there(("NotFound", "NotFoundException"), "sns", "get_topic_attributes", TopicArn=arns[name])


def _among_alarms(environment: Environment) -> Callable[[Account, str], bool]:
    """All with our prefix are asked for at once: there are several to a table."""

    @cache
    def there(account: Account) -> frozenset[str]:
        return frozenset(
            alarm["AlarmName"] for alarm in account.pages("cloudwatch", "describe_alarms", "MetricAlarms", AlarmNamePrefix=f"{environment.prefix}-")
        )

    return lambda account, name: name in there(account)
