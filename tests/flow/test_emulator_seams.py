"""The emulator behaves where the lake leans on it: a small stack made by hand, one laptop for all tests."""

import json
import os
import signal
import threading
import time

import pytest

from local.deploy import deploy
from local.laptop import Laptop
from tests.flow.processes import processes_with
from tests.flow.seams import stack


@pytest.fixture(scope="module")
def laptop(tmp_path_factory):
    home = tmp_path_factory.mktemp("seams") / "home"
    with_seams = Laptop(home, orders=None)
    with_seams.up(deploys=False)
    try:
        stack.upload(with_seams.client("s3"))
        deploy([stack.stack_files(home)], with_seams.aws, lambda _line: None)
        yield with_seams
    finally:
        with_seams.remove()


def execute(laptop, machine, given):
    states = laptop.client("stepfunctions")
    arn = f"arn:aws:states:us-east-1:000000000000:stateMachine:{machine}"
    return states.start_execution(stateMachineArn=arn, input=json.dumps(given))["executionArn"]


def ended(laptop, arn, timeout_s=240):
    states = laptop.client("stepfunctions")
    deadline = time.monotonic() + timeout_s
    while (now := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < deadline, f"{arn} is still running"
        time.sleep(0.1)
    return now


def last_run(laptop, job):
    return laptop.client("glue").get_job_runs(JobName=job)["JobRuns"][0]


def until(what, timeout_s=180):
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def woke_up(laptop, answer):
    given = {
        "job": "probe",
        "arguments": {
            "--run": "r1",
            "--table": f"s3://{stack.BUCKET}/{answer}",
            "--answer": f"s3://{stack.BUCKET}/{answer}.json",
            "--forbidden": stack.FORBIDDEN,
        },
    }
    started = time.monotonic()
    done = ended(laptop, execute(laptop, "run-job", given))
    took = time.monotonic() - started
    output = json.loads(done["output"])
    assert output.get("JobRunState") == "SUCCEEDED", json.loads(output["cause"])["ErrorMessage"]
    seen = json.loads(laptop.client("s3").get_object(Bucket=stack.BUCKET, Key=f"{answer}.json")["Body"].read())
    return seen | {"arguments": seen["arguments"] | {"--answer": "…"}}, took


def test_a_job_wakes_up_the_same_in_a_driver_kept_ready_as_in_a_process_of_its_own(laptop):
    """Same session, same arguments, same library, nothing of the job before: a driver kept ready hides the start-up and nothing else. It takes on
    a library that was deployed meanwhile, also one that breaks what drivers import ahead."""
    new, took_new = woke_up(laptop, "new")
    until(lambda: list(laptop.home.glob("logs/glue/driver-*.log")))

    first, took_first = woke_up(laptop, "first")
    again, took_again = woke_up(laptop, "again")
    stack.upload_library(laptop.client("s3"), greeting="hello from another zip", shared__job="raise ValueError('broken')")
    redeployed, _ = woke_up(laptop, "redeployed")

    print(f"new {took_new:.1f} s, kept ready {took_first:.1f} s, again {took_again:.1f} s")
    processes = [seen.pop("process") for seen in (new, first, again, redeployed)]
    assert new == first == again == redeployed | {"greeting": new["greeting"], "workers": new["workers"]}
    assert processes[0] != processes[1] == processes[2] == processes[3]
    assert ["hello from another zip"] == [redeployed["greeting"]] == redeployed["workers"]
    assert [3, "hello from the zip", "__main__", "UTC", "UTC", True] == [new[k] for k in ("rows", "greeting", "name", "zone", "now", "has_run_id")]
    assert ("probe/job-probe", True, True) == (new["role"], new["python_refused"], new["jvm_refused"])
    assert not new["sees_checkout"]
    assert {
        "--environment": "local",
        "--run": "r1",
        "--forbidden": stack.FORBIDDEN,
        "--enable-metrics": "true",
        "--JOB_NAME": "probe",
        "--answer": "…",
    } == new["arguments"]
    assert "Error" not in (laptop.home / "logs" / "glue" / "probe" / f"{last_run(laptop, 'probe')['Id']}.log").read_text()


def test_a_missing_script_fails_the_run(laptop):
    """As shipped the emulator answers SUCCEEDED."""
    done = ended(laptop, execute(laptop, "run-job", {"job": "absent", "arguments": {}}))

    run = last_run(laptop, "absent")
    assert "FAILED" == run["JobRunState"]
    assert f"s3://{stack.CODE}/not-there.py does not exist" in run["ErrorMessage"]
    assert "States.TaskFailed" == json.loads(done["output"])["caught"]


@pytest.mark.parametrize(
    ("machine", "job", "caught", "said"),
    [
        ("run-job", "distrusted", "States.TaskFailed", "of-lambda-alone does not trust glue.amazonaws.com"),
        ("run-job", "no-library", "States.TaskFailed", "library.zip does not exist or cannot be read (AccessDenied)"),
        ("run-distrusted", "probe", "States.Permissions", "of-lambda-alone does not trust states.amazonaws.com"),
        ("run-refused", "probe", "States.Permissions", "no-start is not authorized to perform glue:StartJobRun"),
    ],
)
def test_what_a_role_does_not_allow_or_trust_is_refused(laptop, machine, job, caught, said):
    """A job's role must trust Glue and read all of its code; a machine's must trust Step Functions and allow what a task does."""
    done = json.loads(ended(laptop, execute(laptop, machine, {"job": job, "arguments": {}}))["output"])

    assert caught == done["caught"]
    assert said in done["cause"]


def test_a_failed_job_says_its_own_error_and_where_its_log_is(laptop):
    """What Catch gets as Cause is Glue's run, with the exception's own line."""
    done = ended(laptop, execute(laptop, "run-job", {"job": "fails", "arguments": {"--run": "r1"}}))

    run = json.loads(json.loads(done["output"])["cause"])
    assert ("FAILED", {"--run": "r1"}) == (run["JobRunState"], run["Arguments"])
    log = laptop.home / "logs" / "glue" / "fails" / f"{run['Id']}.log"
    assert f"BadState: tables and state disagree (log: {log})" == run["ErrorMessage"]
    assert log.is_file()
    assert run["StartedOn"] <= run["CompletedOn"]


def test_a_job_runs_at_most_as_often_at_once_as_it_allows_and_stops_when_told(laptop):
    """MaxConcurrentRuns of the template holds; a stopped run's processes are gone."""
    glue = laptop.client("glue")
    first, second = (glue.start_job_run(JobName="sleeps")["JobRunId"] for _ in range(2))

    refused = ended(laptop, execute(laptop, "run-busy", {"job": "sleeps", "arguments": {}}))
    until(lambda: all(run["JobRunState"] == "RUNNING" for run in glue.get_job_runs(JobName="sleeps")["JobRuns"]))
    glue.batch_stop_job_run(JobName="sleeps", JobRunIds=[first, second])
    until(lambda: all(run["JobRunState"] == "STOPPED" for run in glue.get_job_runs(JobName="sleeps")["JobRuns"]))

    assert "Glue.ConcurrentRunsExceededException" == json.loads(refused["output"])["caught"]
    assert not processes_with(f"{laptop.home}/logs/glue/sleeps")


def test_a_stopped_execution_stops_its_glue_run(laptop):
    """Nobody waits for it any more, and it must not go on writing."""
    arn = execute(laptop, "run-job", {"job": "sleeps", "arguments": {}})
    until(lambda: last_run(laptop, "sleeps")["JobRunState"] == "RUNNING")

    laptop.client("stepfunctions").stop_execution(executionArn=arn)

    until(lambda: last_run(laptop, "sleeps")["JobRunState"] == "STOPPED")
    assert not processes_with(f"{laptop.home}/logs/glue/sleeps")


def test_a_killed_process_fails_its_run(laptop):
    """SIGKILL is what a lost node is: the run ends FAILED, and the next one starts."""
    run_id = laptop.client("glue").start_job_run(JobName="sleeps")["JobRunId"]
    until(lambda: last_run(laptop, "sleeps")["JobRunState"] == "RUNNING")

    killed = laptop.kill_jobs()

    assert [run_id] == killed
    until(lambda: last_run(laptop, "sleeps")["JobRunState"] == "FAILED")


def test_a_lambda_error_is_caught_by_its_class(laptop):
    """Retry and Catch of the state machine name classes."""
    failed = ended(laptop, execute(laptop, "call", {"fail": True}))
    passed = ended(laptop, execute(laptop, "call", {}))

    assert "LockHeld" == json.loads(failed["output"])["caught"]
    told = json.loads(passed["output"])["Payload"]
    assert ("teller", "us-east-1", "arn:aws:lambda:us-east-1:000000000000:function:teller") == (told["function"], told["region"], told["arn"])
    assert not told["sees_checkout"]
    assert "asked for {'fail': True}" in (laptop.home / "logs" / "lambda" / "teller.log").read_text()


def test_a_held_request_waits_until_it_is_released(laptop):
    """How a test acts between two steps of a job."""
    s3 = laptop.client("s3")

    with laptop.hold("PUT", r"/held-\d+$", after=1) as held:
        s3.put_object(Bucket=stack.BUCKET, Key="held-1", Body=b"passes")
        writing = threading.Thread(target=lambda: s3.put_object(Bucket=stack.BUCKET, Key="held-2", Body=b"waits"))
        writing.start()
        held.wait(timeout_s=10)
        before = keys(s3)
        held.release()
        writing.join(10)

    assert ({"held-1"}, {"held-1", "held-2"}) == (before, keys(s3))


def test_the_lake_is_still_there_after_down_and_up(laptop):
    """Objects, items, stacks and history outlive the process."""
    arn = execute(laptop, "call", {"n": 1})
    ended(laptop, arn)
    laptop.client("s3").put_object(Bucket=stack.BUCKET, Key="kept", Body=b"1")
    laptop.client("dynamodb").put_item(TableName="probe", Item={"kind": {"S": "LOCK"}})

    laptop.down()
    laptop.up(deploys=False)

    assert b"1" == laptop.client("s3").get_object(Bucket=stack.BUCKET, Key="kept")["Body"].read()
    assert {"S": "LOCK"} == laptop.client("dynamodb").get_item(TableName="probe", Key={"kind": {"S": "LOCK"}})["Item"]["kind"]
    assert "SUCCEEDED" == ended(laptop, arn)["status"]
    assert "CREATE_COMPLETE" == laptop.client("cloudformation").describe_stacks(StackName="probe")["Stacks"][0]["StackStatus"]


def test_a_killed_laptop_leaves_nothing_running_and_loses_no_answered_write(laptop):
    """Spark, PostgreSQL and drivers die with it; what DynamoDB answered is there afterwards, and lost jobs are not running for ever."""
    laptop.client("glue").start_job_run(JobName="sleeps")
    until(lambda: processes_with(f"{laptop.home}/logs/glue/sleeps"))
    time.sleep(3.5)  # the run itself is saved every three seconds
    laptop.client("dynamodb").put_item(TableName="probe", Item={"kind": {"S": "FENCE"}})

    os.kill(laptop.status().pid, signal.SIGKILL)
    until(lambda: not processes_with(str(laptop.home)), timeout_s=10)
    assert not laptop.is_up()
    laptop.down()
    laptop.up(deploys=False)

    assert "Item" in laptop.client("dynamodb").get_item(TableName="probe", Key={"kind": {"S": "FENCE"}})
    assert "FAILED" == last_run(laptop, "sleeps")["JobRunState"]


def keys(s3):
    return {held["Key"] for held in s3.list_objects_v2(Bucket=stack.BUCKET, Prefix="held-").get("Contents", [])}
