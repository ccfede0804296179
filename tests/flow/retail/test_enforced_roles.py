"""Each role of the deployed lake tries, by its own credentials, what some role may do to data, state, secrets: exactly those named succeed."""

from functools import cache, partial

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

JOBS = ("ingest", "refine", "stage", "publish")
FUNCTIONS = ("plan", "gate", "commit", "report", "fail", "watch")
REFUSED = ("AccessDenied", "AccessDeniedException", "AuthorizationError")

# By the folders of the lake's bucket, as in the protocol. Nothing deletes but Spark, where it writes.
MAY_WRITE = {
    "bronze/orders/_run_date=2026-01-01/probe.parquet": {"ingest"},
    "_errors/bronze/orders/dt=2026-01-01/run_id=r/probe.json": {"ingest"},
    "_windows/bronze/orders/probe.json": {"ingest"},
    "silver/orders/probe.parquet": {"refine"},
    "_staging/r/1/jr/gold/fact_sales/probe.parquet": {"stage"},
    "gold/fact_sales/probe.parquet": {"publish"},
    "_evidence/r/ingest/probe.json": {"ingest"},
    "_evidence/r/refine/probe.json": {"refine"},
    "_evidence/r/stage/probe.json": {"stage"},
    "_runs/r/probe.json": {"plan", "gate", "report"},
    "elsewhere/probe": set(),
}
MAY_READ = {
    "bronze/orders/x.parquet": {"ingest", "refine"},
    "bronze/orders/_delta_log/x.json": {"ingest", "refine", "gate"},
    "_errors/bronze/orders/x.json": {"ingest"},
    "silver/orders/x.parquet": {"refine", "stage"},
    "gold/fact_sales/x.parquet": {"stage", "publish"},
    "gold/fact_sales/_delta_log/x.json": {"stage", "publish", "gate", "commit"},
    "_staging/r/1/jr/gold/fact_sales/x.parquet": {"stage", "publish"},
    "_evidence/r/stage/x.json": {"gate", "report"},
}
MAY_PUT = {
    "LOCK": {"plan", "commit", "fail"},
    "CERTIFIED": {"commit"},
    "INTENT": {"gate", "commit"},
    "WATERMARK": {"commit"},
    "PENDING": {"ingest", "gate"},
    "CLAIM": {*JOBS},
    "RUN": {"plan", "gate", "commit", "fail"},
    "SCHEDULED": {"plan"},
    "BYPASS": set(),
}
MAY_DROP = {"INTENT": {"commit"}, "CERTIFIED": set(), "LOCK": set()}


def roles(lake):
    environment, glue, functions = lake.laptop.environment(), lake.laptop.client("glue"), lake.laptop.client("lambda")
    jobs = {name: glue.get_job(JobName=environment.job(name))["Job"]["Role"] for name in JOBS}
    return jobs | {name: functions.get_function_configuration(FunctionName=environment.function(name))["Role"] for name in FUNCTIONS}


def session(lake, role):
    aws = lake.laptop.aws
    held = lake.laptop.client("sts").assume_role(RoleArn=role, RoleSessionName="tries")["Credentials"]
    keys = {"aws_access_key_id": held["AccessKeyId"], "aws_secret_access_key": held["SecretAccessKey"], "aws_session_token": held["SessionToken"]}
    return cache(lambda service: boto3.client(service, endpoint_url=aws.endpoint, region_name=aws.region, **keys))


def allowed(act):
    """False when the role is refused; what it may do need not succeed."""
    try:
        act()
    except ClientError as error:
        return error.response["Error"]["Code"] not in REFUSED
    return True


def who(sessions, attempts):
    """Of each thing, the roles that may do it. `attempts(service)` gives the things and how they are tried."""
    found = {}
    for name, service in sessions.items():
        for thing, act in attempts(service).items():
            found.setdefault(thing, set()).update({name} if allowed(act) else ())
    return found


def each(things, act):
    return {thing: partial(act, thing) for thing in things}


def test_each_role_may_do_what_the_protocol_gives_it_and_nothing_else(lake):
    """Data, state by its kinds, secrets: who writes gold, moves the pointer, or reads a key is held by the roles themselves."""
    bucket, secrets = lake.bucket, lake.laptop.environment().secrets
    names = (secrets.mask_key, *secrets.servers.values())
    never = {"TableName": lake.laptop.environment().state_table, "ConditionExpression": "attribute_exists(never)"}
    sessions = {name: session(lake, role) for name, role in roles(lake).items()}

    def writes(service):
        return each(MAY_WRITE, lambda key: service("s3").put_object(Bucket=bucket, Key=key, Body=b"x"))

    def reads(service):
        return each(MAY_READ, lambda key: service("s3").get_object(Bucket=bucket, Key=key))

    def deletes(service):
        return each(MAY_WRITE, lambda key: service("s3").delete_object(Bucket=bucket, Key=key))

    def puts(service):
        return each(MAY_PUT, lambda kind: service("dynamodb").put_item(Item=item(kind), **never))

    def puts_in_a_transaction(service):
        return each(MAY_PUT, lambda kind: service("dynamodb").transact_write_items(TransactItems=[{"Put": {"Item": item(kind), **never}}]))

    def drops(service):
        return each(MAY_DROP, lambda kind: service("dynamodb").delete_item(Key=item(kind), **never))

    def secret_reads(service):
        return each(names, lambda name: service("secretsmanager").get_secret_value(SecretId=name))

    assert MAY_WRITE == who(sessions, writes)
    assert MAY_READ == who(sessions, reads)
    assert {key: may & {*JOBS} for key, may in MAY_WRITE.items()} == who(sessions, deletes)
    assert MAY_PUT == who(sessions, puts)
    assert MAY_PUT == who(sessions, puts_in_a_transaction)
    assert MAY_DROP == who(sessions, drops)
    assert dict.fromkeys(names, {"ingest"}) == who(sessions, secret_reads)


def item(kind):
    """A kind of state at an id of its own."""
    return {"kind": {"S": kind}, "id": {"S": "-"}}


def test_no_role_starts_runs_changes_itself_or_reads_anothers_secret(lake):
    """What only an operator or the scheduler does, none of the lake's own roles can."""
    environment = lake.laptop.environment()
    lake.laptop.client("secretsmanager").create_secret(Name="payroll", SecretString="x")
    held = roles(lake)

    def attempts(service):
        return {
            "run": lambda: service("stepfunctions").start_execution(stateMachineArn=environment.machine_arn),
            "job": lambda: service("glue").start_job_run(JobName=environment.job("publish")),
            "code": lambda: service("lambda").update_function_configuration(FunctionName=environment.function("gate"), Timeout=1),
            "policy": lambda: service("iam").delete_role_policy(RoleName=held["gate"].rsplit("/", 1)[1], PolicyName="x"),
            "secret": lambda: service("secretsmanager").get_secret_value(SecretId="payroll"),
            "bucket": lambda: service("s3").delete_bucket_policy(Bucket=lake.bucket),
            "table": lambda: service("dynamodb").delete_table(TableName=environment.state_table),
            "stack": lambda: service("cloudformation").delete_stack(StackName=f"{environment.prefix}-compute"),
        }

    found = who({name: session(lake, role) for name, role in held.items()}, attempts)

    assert dict.fromkeys(attempts(lambda _name: None), set()) == found


@pytest.mark.parametrize("service", ["dynamodb", "s3"])
def test_what_comes_without_a_signature_or_by_an_unknown_key_is_refused(lake, service):
    """Enforcement itself is on."""
    aws = lake.laptop.aws
    unknown = {"aws_access_key_id": "ASIA0000000000000000", "aws_secret_access_key": "x", "aws_session_token": "y"}
    stranger = boto3.client(service, endpoint_url=aws.endpoint, region_name=aws.region, **unknown)
    unsigned = boto3.client(service, endpoint_url=aws.endpoint, region_name=aws.region, config=Config(signature_version=UNSIGNED))

    for client in (stranger, unsigned):
        with pytest.raises(ClientError) as refused:
            client.list_tables() if service == "dynamodb" else client.get_object(Bucket=lake.bucket, Key="_runs/x.json")
        assert 400 <= refused.value.response["ResponseMetadata"]["HTTPStatusCode"] < 404, refused.value
