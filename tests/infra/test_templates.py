"""What the templates say where no emulator enforces it: encryption, recovery, timeouts, concurrency, retention, names."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.settings import BadEnvironment, log_retention
from tests.infra.conftest import synthesize
from tests.infra.tides import environment, lake

PARTS = ("storage", "signals", "catalogue", "compute", "workflow")
KEY = "sluice-local-storage:ExportsOutputFnGetAttKey"


@pytest.fixture
def local(assembly):
    """Properties of one type in one part of the local environment."""
    return lambda part, type: assembly.properties("local", part, type)


def jobs(assembly, name="local"):
    return {job["Name"].removeprefix(f"sluice-{name}-"): job for job in assembly.properties(name, "compute", "AWS::Glue::Job")}


def machine(assembly, name="local"):
    (one,) = assembly.properties(name, "workflow", "AWS::StepFunctions::StateMachine")
    return json.loads(one["DefinitionString"])


def tasks(states):
    """All tasks by name, those inside of a Map among them."""
    found = {}
    for name, state in states.items():
        if state["Type"] == "Task":
            found[name] = state
        if state["Type"] == "Map":
            found |= tasks(state["ItemProcessor"]["States"])
    return found


# ---- storage


def test_the_bucket_is_encrypted_private_and_versioned(local):
    """A deleted or overwritten object can be had back, and nobody outside reads any."""
    (bucket,) = local("storage", "AWS::S3::Bucket")

    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert ("aws:kms", True) == (encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"], encryption["BucketKeyEnabled"])
    assert {"Status": "Enabled"} == bucket["VersioningConfiguration"]
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert 4 == len(bucket["PublicAccessBlockConfiguration"])


def test_the_bucket_speaks_tls_only(local):
    """A request over plain http, or by TLS below 1.2, is denied."""
    (policy,) = local("storage", "AWS::S3::BucketPolicy")

    denied = [statement["Condition"] for statement in policy["PolicyDocument"]["Statement"] if statement["Effect"] == "Deny"]
    assert {"Bool": {"aws:SecureTransport": "false"}} in denied
    assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in denied


def test_only_staged_change_sets_expire(local):
    """No lifecycle rule may ever touch a table, its log, evidence or a plan."""
    (bucket,) = local("storage", "AWS::S3::Bucket")

    rules = {rule["Id"]: rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
    expiring = [rule for rule in rules.values() if {"ExpirationInDays", "NoncurrentVersionExpiration"} & set(rule)]
    assert ["_staging/"] == [rule["Prefix"] for rule in expiring]
    assert {"Id", "Status", "AbortIncompleteMultipartUpload"} == set(rules["broken-uploads"])


def test_the_state_table_can_be_recovered_to_any_second(local):
    """kind and id are its keys, it is encrypted by the lake's own key, and point-in-time recovery is on."""
    (table,) = local("storage", "AWS::DynamoDB::Table")

    assert [("kind", "HASH"), ("id", "RANGE")] == [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]]
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    assert "KMS" == table["SSESpecification"]["SSEType"]
    assert "PAY_PER_REQUEST" == table["BillingMode"]


def test_what_keeps_data_outlives_its_stack(assembly):
    """In prod neither a deleted stack nor a deleted table takes data along."""
    for name, policy, protected in (("local", "Delete", False), ("prod", "Retain", True)):
        kept = [one for one in assembly.template(name, "storage")["Resources"].values() if one["Type"] in ("AWS::S3::Bucket", "AWS::DynamoDB::Table")]
        (table,) = assembly.properties(name, "storage", "AWS::DynamoDB::Table")

        assert {policy} == {one["DeletionPolicy"] for one in kept}
        assert protected == table["DeletionProtectionEnabled"]


def test_the_key_rotates(local):
    """One key per lake; CloudWatch may use it for this lake's log groups only."""
    (key,) = local("storage", "AWS::KMS::Key")

    assert key["EnableKeyRotation"]
    (logs,) = [statement for statement in key["KeyPolicy"]["Statement"] if statement.get("Sid") == "LogsOfThisLake"]
    assert all("sluice-local" in arn for arn in logs["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"])


# ---- logs


@pytest.mark.parametrize("part", ["compute", "workflow"])
def test_every_log_group_is_encrypted_and_ends(local, part):
    """Logs are kept as long as the environment says, under the lake's key."""
    groups = local(part, "AWS::Logs::LogGroup")

    assert groups
    assert {30} == {group["RetentionInDays"] for group in groups}
    assert all(group["KmsKeyId"]["Fn::ImportValue"].startswith(KEY) for group in groups)


def test_every_function_and_job_logs_to_a_group_of_ours(assembly):
    """A group that AWS makes by itself is unencrypted and never ends."""
    groups = {group["LogGroupName"] for group in assembly.properties("local", "compute", "AWS::Logs::LogGroup")}

    for function in assembly.properties("local", "compute", "AWS::Lambda::Function"):
        assert f"/aws/lambda/{function['FunctionName']}" in groups
        assert "LogGroup" in function["LoggingConfig"]
    for job in jobs(assembly).values():
        prefix = job["DefaultArguments"]["--custom-logGroup-prefix"]
        assert {f"{prefix}/error", f"{prefix}/output"} <= groups


def test_a_retention_that_cloudwatch_lacks_is_refused():
    """The message offers those there are."""
    with pytest.raises(BadEnvironment, match="log_retention_days = 31 .*30, 60"):
        log_retention(dataclasses.replace(environment(), log_retention_days=31))


# ---- compute


def test_every_job_is_glue_6_sized_by_the_environment(assembly):
    """The version is never CloudFormation's default, and a job is never repeated by Glue."""
    for name, worker, count in (("local", "G.1X", 2), ("prod", "G.2X", 10)):
        assert {"ingest", "refine", "stage", "publish"} == set(jobs(assembly, name))
        for job in jobs(assembly, name).values():
            assert ("6.0", worker, count, 60, 0) == tuple(
                job[key] for key in ("GlueVersion", "WorkerType", "NumberOfWorkers", "Timeout", "MaxRetries")
            )
            assert {"Ref": "JobSecurity"} == job["SecurityConfiguration"]


def test_every_group_of_a_stage_can_run_at_once(assembly):
    """Bronze has two groups; two more runs fit: a twin, and one that is being stopped."""
    allowed = {stage: job["ExecutionProperty"]["MaxConcurrentRuns"] for stage, job in jobs(assembly).items()}

    assert {"ingest": 4, "refine": 3, "stage": 3, "publish": 3} == allowed


def test_a_job_is_started_with_delta_and_utc(assembly):
    """Static settings come with the job: a session cannot set them any more."""
    for job in jobs(assembly).values():
        given = job["DefaultArguments"]
        conf = dict(part.split("=", 1) for part in given["--conf"].split(" --conf "))

        assert "io.delta.sql.DeltaSparkSessionExtension" == conf["spark.sql.extensions"]
        assert "org.apache.spark.sql.delta.catalog.DeltaCatalog" == conf["spark.sql.catalog.spark_catalog"]
        assert {"UTC"} == {conf["spark.sql.session.timeZone"]}
        assert {"-Duser.timezone=UTC"} == {conf["spark.driver.extraJavaOptions"], conf["spark.executor.extraJavaOptions"]}
        assert "eu-west-1" == conf["spark.hadoop.fs.s3a.endpoint.region"]
        assert ("local", "delta", "true", "true") == tuple(
            given[name] for name in ("--environment", "--datalake-formats", "--enable-auto-scaling", "--enable-metrics")
        )
        assert given["--extra-py-files"].endswith(".zip")


def test_ingest_alone_takes_the_drivers_of_its_sources_along(assembly):
    """What was tested is what runs, whatever Glue carries; and the job's role may read the jar."""
    (url,) = {job["DefaultArguments"].get("--extra-jars", "") for stage, job in jobs(assembly).items() if stage == "ingest"}
    others = {job["DefaultArguments"].get("--extra-jars") for stage, job in jobs(assembly).items() if stage != "ingest"}

    assert url.startswith("s3://")
    assert url.endswith(".jar")
    assert {None} == others
    assert url.rpartition("/")[2] in json.dumps(assembly.resources("local", "compute", "AWS::IAM::Policy"))


def test_no_argument_names_a_secret(assembly):
    """Glue may log a job's arguments: the job looks names up in the lake it carries."""
    for job in jobs(assembly).values():
        assert "mask-key" not in json.dumps(job["DefaultArguments"])
        assert "tower" not in json.dumps(job["DefaultArguments"])


def test_jobs_encrypt_what_they_leave_behind(local):
    """Logs, bookmarks and spilled files of Glue itself."""
    (security,) = local("compute", "AWS::Glue::SecurityConfiguration")

    encryption = security["EncryptionConfiguration"]
    assert "SSE-KMS" == encryption["CloudWatchEncryption"]["CloudWatchEncryptionMode"]
    assert "CSE-KMS" == encryption["JobBookmarksEncryption"]["JobBookmarksEncryptionMode"]
    assert ["SSE-KMS"] == [one["S3EncryptionMode"] for one in encryption["S3Encryptions"]]


def test_every_function_is_python_3_13_and_knows_its_environment(local):
    """All are one bundle and differ by their handler."""
    functions = local("compute", "AWS::Lambda::Function")

    assert {"plan", "gate", "commit", "report", "fail", "watch"} == {function["FunctionName"].removeprefix("sluice-local-") for function in functions}
    for function in functions:
        name = function["FunctionName"].removeprefix("sluice-local-")
        assert ("python3.13", f"lambdas.{name}.handler.handler") == (function["Runtime"], function["Handler"])
        assert "local" == function["Environment"]["Variables"]["SLUICE_ENVIRONMENT"]
    assert 1 == len({json.dumps(function["Code"]) for function in functions})


# ---- workflow


@pytest.mark.parametrize("name", ["local", "prod"])
def test_a_state_outlasts_what_it_waits_for(assembly, name):
    """The job's or function's own timeout strikes first and says more; the machine outlasts all stages and a recovery."""
    text = machine(assembly, name)
    functions = {one["FunctionName"]: one["Timeout"] for one in assembly.properties(name, "compute", "AWS::Lambda::Function")}
    found = tasks(text["States"])

    waits = [state["TimeoutSeconds"] for state in found.values() if "glue" in state["Resource"]]
    for state in found.values():
        if "lambda" in state["Resource"]:
            step = state["Arguments"]["FunctionName"].removeprefix("${").removesuffix("Function}").lower()
            assert state["TimeoutSeconds"] > functions[f"sluice-{name}-{step}"]
    assert 5 == len(waits)
    assert min(waits) > jobs(assembly, name)["ingest"]["Timeout"] * 60
    assert text["TimeoutSeconds"] > sum(state["TimeoutSeconds"] for state in found.values())


def test_the_machine_logs_every_event_and_no_payload_and_is_traced(local):
    """STANDARD, so that an execution is known for 90 days. An error's cause may quote a row: it stays out of the log."""
    (one,) = local("workflow", "AWS::StepFunctions::StateMachine")

    assert not one["LoggingConfiguration"]["IncludeExecutionData"]

    assert ("STANDARD", "ALL", True) == (one["StateMachineType"], one["LoggingConfiguration"]["Level"], one["TracingConfiguration"]["Enabled"])


def test_the_definition_holds_names_and_cloudformation_fills_them_in(local):
    """Every placeholder is substituted, and nothing is substituted that is not there."""
    (one,) = local("workflow", "AWS::StepFunctions::StateMachine")

    placeholders = {part.split("}")[0] for part in one["DefinitionString"].split("${")[1:]}
    assert placeholders == set(one["DefinitionSubstitutions"])
    assert "arn:aws:lambda" not in one["DefinitionString"]


def test_a_schedule_hands_over_its_own_time(assembly):
    """A delivery that comes twice carries the same time, and one that cannot be made ends in an encrypted queue."""
    for name, state in (("local", "DISABLED"), ("prod", "ENABLED")):
        (schedule,) = [one for one in assembly.properties(name, "workflow", "AWS::Scheduler::Schedule") if one["Name"] == f"sluice-{name}"]
        (queue,) = assembly.properties(name, "workflow", "AWS::SQS::Queue")

        target = schedule["Target"]
        assert (state, "Europe/Berlin", "FLEXIBLE") == (
            schedule["State"],
            schedule["ScheduleExpressionTimezone"],
            schedule["FlexibleTimeWindow"]["Mode"],
        )
        assert {"scheduled": "<aws.scheduler.scheduled-time>"} == json.loads(target["Input"])
        assert "Arn" in target["DeadLetterConfig"]
        assert "KmsMasterKeyId" in queue


# ---- catalogue


def test_gold_and_silver_are_registered_as_delta_with_the_contracts_columns(assembly):
    """Athena takes partitions from the log: listing them here would make it read nothing."""
    tables = {table["TableInput"]["Name"]: table["TableInput"] for table in assembly.properties("local", "catalogue", "AWS::Glue::Table")}

    assert {"tides", "daily_tides"} == set(tables)
    columns = {name: [(column["Name"], column["Type"]) for column in one["StorageDescriptor"]["Columns"]] for name, one in tables.items()}
    contract = [("gauge", "string"), ("height_m", "decimal(6,3)"), ("measured_at", "timestamp"), ("measured_on", "date")]
    assert {"daily_tides": contract, "tides": [("_deleted", "boolean"), *contract]} == columns
    for one in tables.values():
        assert ("DELTA", "delta") == (one["Parameters"]["table_type"], one["Parameters"]["spark.sql.sources.provider"])
        assert "PartitionKeys" not in one


def test_bronze_is_nobodys_to_query(assembly):
    """It holds rejected rows."""
    databases = {database["DatabaseInput"]["Name"] for database in assembly.properties("local", "catalogue", "AWS::Glue::Database")}

    assert {"sluice_local_silver", "sluice_local_gold"} == databases


# ---- the whole


@pytest.mark.parametrize("part", PARTS)
def test_environments_differ_by_values_only(assembly, part):
    """What runs in prod ran in dev: the same resources with the same properties."""
    assert _shape(assembly.template("dev", part)["Resources"]) == _shape(assembly.template("prod", part)["Resources"])


def test_an_environment_without_schedule_has_none(tmp_path):
    """It is started by hand; no role, queue or rule is left over."""
    by_hand = dataclasses.replace(lake(), environments={"local": environment(schedule=False)})

    template = synthesize(tmp_path, made=by_hand).template("local", "workflow")

    types = {one["Type"] for one in template["Resources"].values()}
    assert "AWS::SQS::Queue" not in types
    assert ["sluice-local-watch"] == [
        one["Properties"]["Name"] for one in template["Resources"].values() if one["Type"] == "AWS::Scheduler::Schedule"
    ]


def test_the_same_sources_give_the_same_assembly(assembly, tmp_path):
    """Nothing is deployed that did not change."""
    again = synthesize(tmp_path, only="local")

    for name in sorted(path.name for path in again.folder.glob("sluice-*.json")):
        assert (again.folder / name).read_bytes() == (assembly.folder / name).read_bytes(), name


def test_cfn_lint_finds_nothing(assembly):
    """W3005 alone is left out: CDK names dependencies that are clear already. dev is prod with other values."""
    templates = sorted([*assembly.folder.glob("sluice-local-*.template.json"), *assembly.folder.glob("sluice-prod-*.template.json")])
    linter = [
        str(Path(sys.executable).parent / "cfn-lint"),
        "--ignore-checks",
        "W3005",
        "--",
        *map(str, sorted(assembly.folder.glob("*.template.json"))),
    ]

    done = subprocess.run(linter, capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stdout)
    assert 10 == len(templates)


def _shape(value):
    """Names of resources and properties, without their values; lists of values as one."""
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return type(value).__name__
