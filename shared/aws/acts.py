"""The parts of the state's transactions: which condition guards which item. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from shared.aws.dynamo import Act
from shared.core.messages import (
    Batch,
    Lock,
    Outcome,
    RunRecord,
)
from shared.spec.codec import instant_text, to_json

NOT_COMMITTED = "attribute_exists(#kind) AND NOT #status IN (:passed, :blocked)"
NOT_COMMITTED_VALUES = {"passed": "passed", "blocked": "blocked"}


def claim_id(run: str, stage: str, group: str) -> str:
    return f"{run}#{stage}#{group}"


def run_and_fence(run: str, fence: int) -> dict[str, Any]:
    return {"names": {"run": "run", "fence": "fence"}, "values": {"run": run, "fence": fence}}


def holds_lock(run: str, fence: int) -> Act:
    return Act(verb="ConditionCheck", kind="LOCK", condition="#run = :run AND #fence = :fence", **run_and_fence(run, fence))


def release_if_held(run: str, fence: int) -> Act:
    return replace(holds_lock(run, fence), verb="Update", update="REMOVE #run, since, lake_hash")


def not_committed(run: str) -> Act:
    names = {"kind": "kind", "status": "status"}
    return Act(verb="ConditionCheck", kind="RUN", id=run, condition=NOT_COMMITTED, names=names, values=NOT_COMMITTED_VALUES)


def exactly(lock: Lock) -> dict[str, Any]:
    """The condition that LOCK is still this very item."""
    held = to_json(lock)
    if lock.run is None and lock.fence == 0:
        return {"condition": "attribute_not_exists(#kind)", "names": {"kind": "kind"}}
    parts = [f"attribute_not_exists(#{name})" if value is None else f"#{name} = :{name}" for name, value in held.items()]
    values = {name: value for name, value in held.items() if value is not None}
    return {"condition": " AND ".join(parts), "names": {name: name for name in held}, "values": values}


def first_batch(table: str, batch: Batch) -> Act:
    item = {"batches": {batch.batch_id: to_json(batch)}}
    return Act(verb="Put", kind="PENDING", id=table, item=item, condition="attribute_not_exists(#kind)", names={"kind": "kind"})


def one_more_batch(table: str, batch: Batch, gone: Sequence[str]) -> Act:
    dropped = {f"gone{i}": id for i, id in enumerate(gone)}
    remove = f" REMOVE {', '.join(f'batches.#{short}' for short in dropped)}" if gone else ""
    return Act(
        verb="Update",
        kind="PENDING",
        id=table,
        update=f"SET batches.#id = :batch{remove}",
        condition="attribute_not_exists(batches.#id)",
        names={"id": batch.batch_id, **dropped},
        values={"batch": to_json(batch)},
    )


def set_outcomes(table: str, outcomes: Sequence[tuple[str, Outcome]]) -> Act:
    return Act(
        verb="Update",
        kind="PENDING",
        id=table,
        update="SET " + ", ".join(f"batches.#id{i}.outcome = :outcome{i}" for i in range(len(outcomes))),
        condition=" AND ".join(f"attribute_exists(batches.#id{i})" for i in range(len(outcomes))),
        names={f"id{i}": id for i, (id, _) in enumerate(outcomes)},
        values={f"outcome{i}": to_json(outcome) for i, (_, outcome) in enumerate(outcomes)},
    )


def timing_of(record: RunRecord | None, stage: str, at: datetime) -> dict[str, str]:
    end = instant_text(at)
    if record is None:
        return {"start": end, "end": end}
    ends = [timing["end"] for name, timing in record.timings.items() if name != stage and timing["end"] <= end]
    return {"start": max([instant_text(record.started), *ends]), "end": end}
