"""Every alarm of one environment, as values: on what, against what, for whom, and what to do. The stack makes them; a test drives each.

Numbers that a run emits (`dq_critical_failures`, `table_blocked`) keep their alarm as it is until the next run says otherwise. Ages come from a
function that is called every few minutes: where they are missing, the worst is taken for true.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from compiler.strikes import gaps
from shared.spec.environment import OPERATOR, Environment
from shared.spec.lake import Lake, Rule, Table
from shared.spec.measures import NAMESPACE, Measure, dimensions

Silence = Literal["breaching", "notBreaching", "ignore"]
# A schedule need not strike to the second.
WINDOW_MINUTES = 5
WATCH_MINUTES = 5
# Three calls of watch: one that comes late is not yet silence.
AGE_PERIOD = 3 * WATCH_MINUTES * 60
PERIOD = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Rings when the statistic of one period is above `above`. `text` says what is so. An alarm that is not `enabled` tells nobody."""

    id: str
    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    statistic: Literal["Maximum", "Sum"] = "Maximum"
    above: float
    period_seconds: int
    silence: Silence
    owner: str
    runbook: str
    text: str
    enabled: bool = True

    def name(self, environment: Environment) -> str:
        return f"{environment.prefix}-{self.id}"

    @property
    def description(self) -> str:
        """What arrives with the message."""
        return f"{self.text} Owner: {self.owner}. Runbook: runbooks/{self.runbook}"


def alarms_of(lake: Lake, environment: Environment) -> tuple[Alarm, ...]:
    """Of the run to the operator; of each table to the team that its contract names."""
    return (*_of_the_run(environment), *_of_the_schedule(environment), *(alarm for table in lake.tables for alarm in _of_table(table, environment)))


def _of_the_run(environment: Environment) -> Iterator[Alarm]:
    sla, name = environment.sla, environment.name
    yield _age(
        "late-gate",
        "gate_wait_seconds",
        dimensions(name),
        above=sla.gate_minutes * 60,
        runbook="late-run.md",
        text=f"Gold's gate has not spoken {sla.gate_minutes} minutes after plan in {name}, or watch is silent.",
    )
    yield _age(
        "late-run",
        "run_age_seconds",
        dimensions(name),
        above=sla.run_minutes * 60,
        runbook="late-run.md",
        text=f"A run has held the lake of {name} for more than {sla.run_minutes} minutes, or watch is silent.",
    )
    for id, metric, how in (
        ("run-failed", "ExecutionsFailed", "failed, or committed with blocked tables"),
        ("run-timed-out", "ExecutionsTimedOut", "was ended by the state machine's own timeout"),
        ("run-stopped", "ExecutionsAborted", "was stopped by hand"),
    ):
        yield Alarm(
            id=id,
            namespace="AWS/States",
            metric=metric,
            dimensions={"StateMachineArn": environment.machine_arn},
            statistic="Sum",
            above=0,
            period_seconds=PERIOD,
            silence="notBreaching",
            owner=OPERATOR,
            runbook="run-failed.md",
            text=f"A run of {name} {how}; `sluice --env {name} status` names it.",
        )


def _of_the_schedule(environment: Environment) -> Iterator[Alarm]:
    schedule, name = environment.schedule, environment.name
    if schedule is None:
        return
    yield Alarm(
        id="dead-letters",
        namespace="AWS/SQS",
        metric="ApproximateNumberOfMessagesVisible",
        dimensions={"QueueName": environment.missed_runs},
        above=0,
        period_seconds=PERIOD,
        silence="ignore",  # SQS says nothing of a queue that nobody touches, and what lies there still does
        owner=OPERATOR,
        runbook="missed-run.md",
        text=f"A strike of the schedule could not start a run of {name}; it lies in the queue {environment.missed_runs}.",
        enabled=schedule.enabled,
    )
    # Made only when there is something to miss: nobody tells the age of a schedule that is off, and an alarm on it would ring.
    found = gaps(schedule) if schedule.enabled else None
    if found is not None:
        late = environment.sla.start_minutes
        yield _age(
            "missed-run",
            "schedule_age_seconds",
            dimensions(name),
            above=found.longest + (WINDOW_MINUTES + late) * 60,
            runbook="missed-run.md",
            text=f"No strike of {schedule.expression} became a run of {name} in time, {late} minutes included, or watch is silent.",
        )


def _of_table(table: Table, environment: Environment) -> Iterator[Alarm]:
    yield _of_gates(
        "dq", "dq_critical_failures", table, environment, f"A critical rule of {table.name} does not hold, or its evidence cannot be believed."
    )
    yield _of_gates("blocked", "table_blocked", table, environment, f"{table.name} stays as it was: it was halted, or waits for a table that was.")
    promise = table.freshness
    if table.layer == "gold" and promise is not None:
        yield _age(
            f"stale-{table.name}",
            "freshness_seconds",
            dimensions(environment.name, table=table.name),
            above=int(promise.kwargs["max_age_seconds"]),
            runbook="stale-gold.md",
            text=_stale(table, promise),
            owner=table.owner,
        )


def _stale(table: Table, promise: Rule) -> str:
    hours = int(promise.kwargs["max_age_seconds"]) / 3600
    return f"The newest certified {promise.element} of {table.name} is older than {hours:g} h, or it was never certified, or watch is silent."


def _of_gates(id: str, measure: Measure, table: Table, environment: Environment, text: str) -> Alarm:
    return Alarm(
        id=f"{id}-{table.name}",
        namespace=NAMESPACE,
        metric=measure,
        dimensions=dimensions(environment.name, table=table.name),
        above=0,
        period_seconds=PERIOD,
        silence="ignore",
        owner=table.owner,
        runbook="dq-halt.md",
        text=f"{text} Environment {environment.name}.",
    )


def _age(
    id: str,
    measure: Measure,
    of: Mapping[str, str],
    *,
    above: float,
    runbook: str,
    text: str,
    owner: str = OPERATOR,
) -> Alarm:
    return Alarm(
        id=id,
        namespace=NAMESPACE,
        metric=measure,
        dimensions=of,
        above=above,
        period_seconds=AGE_PERIOD,
        silence="breaching",
        owner=owner,
        runbook=runbook,
        text=text,
    )
