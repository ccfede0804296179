"""A small stack made by hand: what the seams must carry, without the lake."""

import io
import json
import zipfile
from pathlib import Path

from local.deploy import StackFiles

HERE = Path(__file__).parent
CODE, BUCKET, FORBIDDEN, ROLE = "probe-code", "probe-data", "probe-forbidden", {"Fn::GetAtt": ["Role", "Arn"]}
CONF = (
    "spark.sql.extensions=io.delta.sql.DeltaSparkSessionExtension"
    " --conf spark.sql.catalog.spark_catalog=org.apache.spark.sql.delta.catalog.DeltaCatalog"
    " --conf spark.sql.session.timeZone=UTC --conf spark.hadoop.fs.s3a.endpoint.region=us-east-1"
)
SCRIPTS = {
    "fails.py": "class BadState(Exception):\n    pass\n\n\nraise BadState('tables and state disagree')\n",
    "sleeps.py": "import time\n\ntime.sleep(300)\n",
}


def zipped(**files):
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/") + ".py", text)
    return body.getvalue()


def upload(s3):
    for bucket in (CODE, BUCKET, FORBIDDEN):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=FORBIDDEN, Key="it", Body=b"not to be read")
    handler = (HERE / "handler.py").read_text()
    s3.put_object(Bucket=CODE, Key="probe_job.py", Body=(HERE / "probe_job.py").read_bytes())
    upload_library(s3, greeting="hello from the zip")
    s3.put_object(Bucket=CODE, Key="function.zip", Body=zipped(lambdas__teller__handler=handler))
    for name, text in SCRIPTS.items():
        s3.put_object(Bucket=CODE, Key=name, Body=text.encode())


def upload_library(s3, *, greeting, **modules):
    s3.put_object(Bucket=CODE, Key="library.zip", Body=zipped(probe_library=f"GREETING = {greeting!r}\n", **modules))


def job(name, script, **properties):
    """What reads no table asks for no Delta: the drivers that are started for it are ready sooner."""
    arguments = {"--environment": "local", "--extra-py-files": f"s3://{CODE}/library.zip", "--enable-metrics": "true"}
    if script not in SCRIPTS:
        arguments |= {"--conf": CONF, "--datalake-formats": "delta"}
    command = {"Name": "glueetl", "PythonVersion": "3", "ScriptLocation": f"s3://{CODE}/{script}"}
    held = {"Name": name, "Role": ROLE, "GlueVersion": "6.0", "Command": command, "DefaultArguments": arguments, "Timeout": 5, **properties}
    return {"Type": "AWS::Glue::Job", "Properties": held}


def task(resource, arguments, catch):
    catches = [{"ErrorEquals": [catch], "Next": "Caught", "Output": {"caught": catch, "cause": "{% $states.errorOutput.Cause %}"}}]
    states = {
        "Do": {"Type": "Task", "Resource": resource, "Arguments": arguments, "Catch": catches, "Next": "Done"},
        "Caught": {"Type": "Succeed"},
        "Done": {"Type": "Succeed"},
    }
    return {"QueryLanguage": "JSONata", "StartAt": "Do", "States": states}


def machine(name, definition, role=ROLE):
    held = {"StateMachineName": name, "RoleArn": role, "DefinitionString": json.dumps(definition)}
    return {"Type": "AWS::StepFunctions::StateMachine", "Properties": held}


def run_job(catch):
    arguments = {"JobName": "{% $states.input.job %}", "Arguments": "{% $states.input.arguments %}"}
    return task("arn:aws:states:::glue:startJobRun.sync", arguments, catch)


def role(name, *services, denies=FORBIDDEN):
    """Trusted by the services, and allowed everything but one thing: a bucket, or an object in it; or an action."""
    trust = {"Effect": "Allow", "Principal": {"Service": list(services)}, "Action": "sts:AssumeRole"}
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    denied = {"Action": denies, "Resource": "*"} if ":" in denies else {"Action": "*", "Resource": f"arn:aws:s3:::{denies}*"}
    policy = {"PolicyName": "all", "PolicyDocument": {"Statement": [everything, {"Effect": "Deny", **denied}]}}
    held = {"RoleName": name, "AssumeRolePolicyDocument": {"Statement": [trust]}, "Policies": [policy]}
    return {"Type": "AWS::IAM::Role", "Properties": held}


def template():
    call = task("arn:aws:states:::lambda:invoke", {"FunctionName": "teller", "Payload": "{% $states.input %}"}, "LockHeld")
    code = {"S3Bucket": CODE, "S3Key": "function.zip"}
    teller = {
        "FunctionName": "teller",
        "Runtime": "python3.13",
        "Handler": "lambdas.teller.handler.handler",
        "Role": ROLE,
        "Code": code,
        "Timeout": 30,
    }
    return {
        "Resources": {
            "Role": role("probe", "glue.amazonaws.com", "lambda.amazonaws.com", "states.amazonaws.com"),
            "OtherRole": role("of-lambda-alone", "lambda.amazonaws.com"),
            "NoLibraryRole": role("no-library", "glue.amazonaws.com", denies=f"{CODE}/library.zip"),
            "NoStartRole": role("no-start", "states.amazonaws.com", denies="glue:StartJobRun"),
            "Security": {"Type": "AWS::Glue::SecurityConfiguration", "Properties": {"Name": "probe", "EncryptionConfiguration": {}}},
            "Grant": {"Type": "AWS::LakeFormation::PrincipalPermissions", "Properties": {"Permissions": ["SELECT"]}},
            "Table": {
                "Type": "AWS::DynamoDB::Table",
                "Properties": {
                    "TableName": "probe",
                    "BillingMode": "PAY_PER_REQUEST",
                    "KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}],
                    "AttributeDefinitions": [{"AttributeName": "kind", "AttributeType": "S"}],
                },
            },
            "Teller": {"Type": "AWS::Lambda::Function", "Properties": teller},
            "Probe": job("probe", "probe_job.py"),
            "Fails": job("fails", "fails.py", SecurityConfiguration={"Ref": "Security"}),
            "Sleeps": job("sleeps", "sleeps.py", ExecutionProperty={"MaxConcurrentRuns": 2}),
            "Distrusted": job("distrusted", "probe_job.py", Role={"Fn::GetAtt": ["OtherRole", "Arn"]}),
            "NoLibrary": job("no-library", "probe_job.py", Role={"Fn::GetAtt": ["NoLibraryRole", "Arn"]}),
            "Absent": job("absent", "not-there.py"),
            "Call": machine("call", call),
            "RunJob": machine("run-job", run_job("States.TaskFailed")),
            "RunDistrusted": machine("run-distrusted", run_job("States.Permissions"), {"Fn::GetAtt": ["OtherRole", "Arn"]}),
            "RunRefused": machine("run-refused", run_job("States.Permissions"), {"Fn::GetAtt": ["NoStartRole", "Arn"]}),
            "RunBusy": machine("run-busy", run_job("Glue.ConcurrentRunsExceededException")),
        }
    }


def stack_files(folder):
    path = folder / "probe.template.json"
    path.write_text(json.dumps(template()))
    return StackFiles(name="probe", template=path, template_url=None, assets=None, tags={})
