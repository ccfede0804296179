"""Following a run: one look after the other, and what changed between two of them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from cli.lakes import OpenLake
from cli.machine import Execution
from cli.render import number
from shared.core.messages import RunRecord
from shared.core.report import STAGES

Pause = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A run as it stands: its execution, the state the machine is in, and what plan, gates and commit have recorded."""

    run: str
    execution: Execution
    state: str | None
    record: RunRecord | None

    @property
    def over(self) -> bool:
        return self.execution.status != "RUNNING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicted:
    """What a gate recorded of one table."""

    stage: str
    table: str
    verdict: str
    counts: str


def looks(lake: OpenLake, run: str, pause: Pause) -> Iterator[Look]:
    """A look at once, then each that differs from the one before; the last is of an execution that is over."""
    before = None
    while True:
        look = look_at(lake, run)
        if look != before:
            yield look
        if look.over:
            return
        before = look
        pause()


def look_at(lake: OpenLake, run: str) -> Look:
    # The execution first: what is read after its end is final.
    execution = lake.machine.execution(run)
    states = lake.machine.states(run)
    return Look(run=run, execution=execution, state=states[-1] if states else None, record=lake.state.run(run))


def verdicts_of(record: RunRecord | None) -> tuple[Verdicted, ...]:
    """In the order of stages, then as the gate recorded them."""
    if record is None:
        return ()
    return tuple(
        Verdicted(stage=stage, table=table, verdict=verdict, counts=counts_text(record.counts.get(stage, {}).get(table, {})))
        for stage in STAGES
        for table, verdict in record.verdicts.get(stage, {}).items()
    )


def changes(before: Look | None, after: Look) -> tuple[str, ...]:
    """Plain lines, one per change."""
    known = verdicts_of(before.record if before else None)
    new = [said for said in verdicts_of(after.record) if said not in known]
    lines = [f"{said.stage}: {said.table} {said.verdict}{' | ' + said.counts if said.counts else ''}" for said in new]
    if after.state is not None and (before is None or after.state != before.state):
        lines.append(f"-> {after.state}")
    return tuple(lines)


def counts_text(counts: Mapping[str, int]) -> str:
    """The equation of a source table; what was written of any other."""
    if "read" in counts:
        parts = " + ".join(f"{name} {number(counts[name])}" for name in ("accepted", "rejected", "seen"))
        return f"read {number(counts['read'])} = {parts}"
    return ", ".join(f"{name} {number(count)}" for name, count in counts.items() if count)
