"""Each seam knows what of MiniStack it leans on, and says what moved."""

import asyncio
import json
import threading

import pytest
from ministack.services import stepfunctions

from local.aws import Keys
from local.errors import LaptopError
from local.launcher import JobTimedOut
from local.seams import pinned
from local.seams.cloudformation import CloudFormationSeam
from local.seams.lambdas import name_error
from local.seams.leading_keys import LeadingKeysSeam
from local.seams.requests import Requests
from local.seams.roles import RoleSeam


def test_a_function_that_moved_is_named_with_both_versions():
    """MiniStack moves private names daily; the message is the whole diagnosis."""
    with pytest.raises(pinned.SeamMoved, match=rf"ministack .*: services\.glue\._run_spark has moved; the seams know {pinned.VERSION}"):
        pinned.functions("services.glue", {"_run_spark": ("run",)})


def test_a_function_with_other_parameters_has_moved_too():
    """Calling it would fail in the middle of a run."""
    with pytest.raises(pinned.SeamMoved, match=r"services\.glue\._start_job_run\(job\), now \(data\)"):
        pinned.functions("services.glue", {"_start_job_run": ("job",)})


def test_a_behaviour_that_changed_is_told():
    """Names can stay while the dispatch behind them changes."""
    with pytest.raises(pinned.SeamMoved, match="it answers 1, not 2"):
        pinned.expect("services.glue StartJobRun", 1, 2)


@pytest.mark.parametrize(
    ("kind", "log", "named"),
    [
        ("Runtime.HandlerError", "Traceback …\n  File\nshared.core.errors.LockHeld: by run-1\n", "LockHeld"),
        ("Runtime.HandlerError", "START\nTraceback …\n  File\nKeyError: 'run'", "KeyError"),
        ("Runtime.HandlerError", "", "Runtime.HandlerError"),
        ("Sandbox.Timedout", "Traceback …\nLockHeld: x", "Sandbox.Timedout"),
    ],
)
def test_a_lambda_error_has_its_class_name(kind, log, named):
    """Step Functions' Retry and Catch go by it."""
    result = {"error": True, "body": {"errorType": kind}, "log": log}

    name_error(result)

    assert named == result["body"]["errorType"]


def test_a_held_request_waits_and_others_pass():
    """How a test acts between two steps."""
    assert ["PUT /b/other", "PUT /b/key-1", "released", "PUT /b/key-2"] == asyncio.run(held_traffic())


async def held_traffic():
    seen = []

    async def app(scope, _receive, _send):
        seen.append(f"{scope['method']} {scope['path']}")

    requests = Requests(app, {}, changed=lambda: None)
    await ask(requests, "hold", b'{"name": "h", "method": "PUT", "path": "key", "after": 1}')
    await put(requests, "/b/other")
    await put(requests, "/b/key-1")
    waiting = asyncio.create_task(put(requests, "/b/key-2"))
    await asyncio.sleep(0.01)
    assert b'{"waiting": 1}' == await ask(requests, "held", b'{"name": "h"}')
    seen.append("released")
    await ask(requests, "release", b'{"name": "h"}')
    await waiting
    return seen


async def put(requests, path):
    await requests({"type": "http", "method": "PUT", "path": path, "headers": []}, None, None)


async def ask(requests, command, body):
    sent = []

    async def receive():
        return {"body": body}

    async def send(message):
        sent.append(message)

    await requests({"type": "http", "method": "POST", "path": f"/_laptop/{command}"}, receive, send)
    return sent[1]["body"]


class Launched:
    """A run that ends as it is told."""

    def __init__(self, error=None, gate=None):
        self.error, self.gate, self.killed = error, gate, False

    def launch(self, _run):
        if isinstance(self.error, LaptopError) and not isinstance(self.error, JobTimedOut):
            raise self.error
        return self

    def wait(self):
        if self.gate is not None:
            self.gate.wait(5)
        if self.error is not None:
            raise self.error

    def kill(self):
        self.killed = True
        if self.gate is not None:
            self.gate.set()


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (None, "SUCCEEDED", ""),
        (LaptopError("no jars"), "FAILED", "LaptopError: no jars"),
        (JobTimedOut("too long"), "TIMEOUT", "too long"),
        (ZeroDivisionError(), "FAILED", "the launcher ended unexpectedly; see logs/laptop.log"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_every_end_of_a_launch_is_an_end_of_the_run(glue, error, state, message):
    """A run that stays RUNNING for ever would hold the lake's lock for ever."""
    run = started(glue(Launched(error)))

    assert (state, message) == (run["JobRunState"], run["ErrorMessage"])
    assert run["CompletedOn"] is not None


def test_a_stopped_run_is_stopped_whatever_its_process_said(glue):
    """STOPPED, not FAILED: nobody is to look for an error."""
    gate = threading.Event()
    launched = Launched(LaptopError("killed"), gate)
    launched.launch = lambda _run: launched
    seam = glue(launched)
    run = started(seam, wait=False)
    until(lambda: run["JobRunState"] == "RUNNING")

    seam.stop_run(run)

    until(lambda: run["JobRunState"] == "STOPPED")
    assert launched.killed


def test_a_run_beyond_the_limit_is_refused(glue):
    """MaxConcurrentRuns is 1 unless the template says more."""
    gate = threading.Event()
    seam = glue(Launched(gate=gate))
    started(seam, wait=False)

    status, _, body = seam._start({"JobName": "probe"})

    assert (400, True) == (status, b"ConcurrentRunsExceededException" in body)
    gate.set()


@pytest.fixture
def glue():
    from ministack.services import glue as service

    from local.seams.glue import GlueSeam

    class Trusting:
        def session(self, _role, _service, *, source, lasts_s):
            return Keys(access_key=source, secret_key="s")

    def with_launcher(launcher):
        return GlueSeam(launcher, Trusting())

    service._jobs["probe"] = {
        "Name": "probe",
        "Role": "arn:aws:iam::000000000000:role/probe",
        "Command": {"Name": "glueetl", "ScriptLocation": "s3://b/k"},
        "Timeout": 1,
    }
    service._job_runs["probe"] = []
    yield with_launcher
    service._jobs.pop("probe")
    service._job_runs.pop("probe")


def started(seam, *, wait=True):
    seam._start({"JobName": "probe", "Arguments": {"--run": "r1"}})
    run = seam._glue._job_runs["probe"][-1]
    if wait:
        until(lambda: run["CompletedOn"] is not None)
    return run


def until(what, timeout_s=5):
    pause = threading.Event()
    for _ in range(int(timeout_s / 0.01)):
        if what():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come about")


def test_an_alias_of_a_template_leads_to_the_version_it_names():
    """What the schedule starts through it is the machine that was deployed, also after the next deployment."""
    seam = CloudFormationSeam()
    seam.install()
    kinds = {kind: f"AWS::StepFunctions::StateMachine{kind}" for kind in ("", "Version", "Alias")}
    handlers = {kind: seam._handlers[name] for kind, name in kinds.items()}
    text = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})
    machine, _ = handlers[""]["create"]("Machine", {"StateMachineName": "aliased", "DefinitionString": text}, "s")

    first, _ = handlers["Version"]["create"]("Version", {"StateMachineArn": machine}, "s")
    route = {"RoutingConfiguration": [{"StateMachineVersionArn": first, "Weight": "100"}]}
    alias, _ = handlers["Alias"]["create"]("Live", {"Name": "live", **route}, "s")
    second, _ = handlers["Version"]["update"](first, {}, {"StateMachineArn": machine}, "s")
    handlers["Alias"]["update"](alias, route, {"RoutingConfiguration": [{"StateMachineVersionArn": second, "Weight": "100"}]}, "s")

    assert (f"{machine}:live", f"{machine}:1", f"{machine}:2") == (alias, first, second)
    assert [second] == [one["stateMachineVersionArn"] for one in stepfunctions._state_machine_aliases[alias]["routingConfiguration"]]


SCHEDULE = "arn:aws:scheduler:us-east-1:000000000000:schedule/default/nightly"
MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:lake"


@pytest.fixture
def struck():
    """Strikes a schedule under a role with this policy and trust; what was started."""
    from ministack.services import eventbridge, iam

    started, invoke = [], eventbridge._invoke_target
    eventbridge._invoke_target = lambda target, event, rule, view=None: started.append(target["Arn"])
    RoleSeam().install()

    def strike(target, *, allows="states:StartExecution", on=MACHINE, trusts="scheduler.amazonaws.com", source="*"):
        trust = {"Effect": "Allow", "Principal": {"Service": trusts}, "Action": "sts:AssumeRole", "Condition": {"ArnLike": {"aws:SourceArn": source}}}
        policy = {"Statement": [{"Effect": "Allow", "Action": allows, "Resource": on}]}
        iam._roles["strikes"] = {"AssumeRolePolicyDocument": {"Statement": [trust]}, "InlinePolicies": {"p": policy}}
        eventbridge._invoke_target({"Arn": target, "RoleArn": "arn:aws:iam::000000000000:role/strikes"}, {}, {"Arn": SCHEDULE})
        return started

    yield strike
    eventbridge._invoke_target = invoke
    iam._roles.pop("strikes", None)


def test_a_schedule_starts_what_its_role_allows(struck):
    """An alias is authorized by its machine; a schedule is trusted by its group."""
    assert [f"{MACHINE}:live"] == struck(f"{MACHINE}:live", source="arn:aws:scheduler:*:*:schedule-group/default")


@pytest.mark.parametrize(
    ("role", "said"),
    [
        ({"allows": "states:StopExecution"}, "is not authorized to perform states:StartExecution"),
        ({"on": f"{MACHINE}-other"}, "is not authorized to perform states:StartExecution"),
        ({"trusts": "events.amazonaws.com"}, "does not trust scheduler.amazonaws.com"),
        ({"source": SCHEDULE}, "does not trust scheduler.amazonaws.com"),
    ],
)
def test_a_schedule_does_not_start_what_its_role_refuses(struck, role, said):
    """By policy and by trust."""
    with pytest.raises(LaptopError, match=said):
        struck(f"{MACHINE}:live", **role)


def test_a_write_is_held_to_every_partition_it_names():
    """Neither a key that a put ignores, nor a table's ARN, nor a request that is no JSON goes round it."""
    from ministack.core import iam_actions
    from ministack.services import dynamodb

    LeadingKeysSeam().install()
    dynamodb._tables["state"] = {"KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}]}
    key, item = {"kind": {"S": "CLAIM"}}, {"kind": {"S": "LOCK"}}
    arn = "arn:aws:dynamodb:us-east-1:000000000000:table/state"

    def named(**request):
        return iam_actions.dynamodb_service_context(json.dumps(request).encode()).get("dynamodb:LeadingKeys")

    assert ["CLAIM", "LOCK"] == named(TableName="state", Key=key, Item=item)
    assert ["LOCK"] == named(TableName=arn, Item=item)
    assert [None] * 3 == [named(TableName="other", Item=item), named(TableName="state", Item={"kind": "LOCK"}), named(Item=item)]
    assert "dynamodb:LeadingKeys" not in iam_actions.dynamodb_service_context(b"{bad")
    mixed = {"TransactItems": [{"Put": {"TableName": "state", "Item": item}}, {"Put": {"Item": item}}, {"Delete": {"TableName": arn, "Key": key}}, 3]}
    checks = iam_actions.dynamodb_transaction_checks("dynamodb:TransactWriteItems", json.dumps(mixed).encode(), "us-east-1", "000000000000")
    assert [("dynamodb:PutItem", ["LOCK"]), ("dynamodb:DeleteItem", ["CLAIM"])] == [(action, arn.keys) for action, arn in checks]
    dynamodb._tables.pop("state")
