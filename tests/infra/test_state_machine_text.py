"""The state machine's text: what every state must have, and which errors may be waited out."""

import json

import pytest

import shared.core.errors as errors
from infra.workflow import DEFINITION, definition
from tests.infra.tides import environment

STATES = json.loads(DEFINITION.read_text())["States"]
ENDINGS = ("Succeed", "Fail")
# What Lambda and Glue call their own bad moments.
TRANSIENT = {
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Glue.ConcurrentRunsExceededException",
    "Glue.InternalServiceException",
    "Glue.OperationTimeoutException",
    "Glue.ResourceNumberLimitExceededException",
    "Glue.SdkClientException",
    "Glue.ThrottlingException",
}


def everywhere(states=STATES, outer=None):
    """(name, state, the Map around it) of every state."""
    for name, state in states.items():
        yield name, state, outer
        if state["Type"] == "Map":
            yield from everywhere(state["ItemProcessor"]["States"], state)


ALL = list(everywhere())
TASKS = [(name, state, outer) for name, state, outer in ALL if state["Type"] == "Task"]


def test_every_state_is_reached_and_leads_to_an_end():
    """No state is left over from an earlier flow, and none goes nowhere."""
    reached, waiting = set(), ["Plan"]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += following(STATES[name])

    assert set(STATES) == reached
    for name, state in STATES.items():
        assert following(state) or state["Type"] in ENDINGS, name


def following(state):
    """The names a state may go to."""
    choices = [choice["Next"] for choice in state.get("Choices", [])]
    return [state[key] for key in ("Next", "Default") if key in state] + choices + [caught["Next"] for caught in state.get("Catch", [])]


@pytest.mark.parametrize(("name", "state", "outer"), TASKS)
def test_every_task_has_a_timeout_a_retry_and_a_catch(name, state, outer):
    """A task inside a Map is caught by the Map: a failed group fails its stage."""
    assert "TimeoutSeconds" in state
    assert state["Retry"]
    assert ["States.ALL"] == (outer or state)["Catch"][-1]["ErrorEquals"]


@pytest.mark.parametrize(
    ("name", "state", "outer"), [entry for entry in ALL if "Catch" in entry[1] and entry[0] not in ("RecordFailure", "ReportFailure")]
)
def test_every_failure_goes_to_the_one_fail_path(name, state, outer):
    """And takes its name and cause along."""
    (caught,) = state["Catch"]

    assert "RecordFailure" == caught["Next"]
    assert {"error", "cause"} == set(caught["Assign"])


def test_only_named_transient_errors_are_waited_out():
    """An error of ours must exist under that name; States.ALL and States.TaskFailed would repeat what waiting does not help."""
    retried = {name for _, state, _ in TASKS for retry in state["Retry"] for name in retry["ErrorEquals"]}

    own = {name for name in retried if "." not in name}
    assert all(issubclass(getattr(errors, name), errors.Retryable) for name in own)
    assert {"StateUnavailable"} == own
    assert retried - own <= TRANSIENT


def test_a_job_that_ran_is_never_started_again():
    """Glue's start has no idempotency token: only a refused start is repeated."""
    for _, state, _ in TASKS:
        if "glue" in state["Resource"]:
            assert all(name.startswith("Glue.") for retry in state["Retry"] for name in retry["ErrorEquals"])


def test_the_text_holds_names_only():
    """No account, no region, no environment."""
    text = DEFINITION.read_text()

    assert "JSONata" == json.loads(text)["QueryLanguage"]
    assert "sluice" not in text
    assert {"arn:aws:states:::lambda:invoke", "arn:aws:states:::glue:startJobRun.sync"} == {state["Resource"] for _, state, _ in TASKS}


def test_timeouts_become_numbers():
    """Step Functions takes no text for a machine's timeout."""
    made = json.loads(definition(environment()))

    assert isinstance(made["TimeoutSeconds"], int)
    assert all(isinstance(state["TimeoutSeconds"], int) for _, state, _ in everywhere(made["States"]) if state["Type"] == "Task")
