"""Documents of a run: what plan wrote down, what a gate decided. Plain values with a JSON form (`shared.spec.codec`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.core.messages import ChangeSetRef, Entry, Progress, Replay, TableVerdict
from shared.spec.lake import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTable:
    """Why a table is in a run, and where."""

    table: str
    stage: Stage
    group: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`_runs/<run>/plan.json`: what a run may touch, in which order and groups. Tables that are not in it stay exactly as they are.

    `full_refresh`: those to be computed from all of their inputs, even if nothing moved. `replay`: rejects to inject again.
    """

    run: str
    fence: int
    lake_hash: str
    at: datetime
    tables: tuple[PlannedTable, ...]
    full_refresh: tuple[str, ...]
    replay: Replay | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDecision:
    """`_runs/<run>/gate-<stage>.json`: the verdicts of a stage and what the next one may do.

    `progress` (ingest) is how far each source got; `entries` are the CERTIFIED entries that this stage's tables earned or keep;
    `todo` the next stage's tables in order; `refresh` the run's tables that are computed from all of their inputs, as plan says;
    `blocked` tables that wait, with why (the halted ones among them);
    `change_sets` (stage) what publish must apply, in an order it can.
    """

    run: str
    fence: int
    stage: Stage
    verdicts: tuple[TableVerdict, ...]
    progress: Mapping[str, Progress]
    entries: Mapping[str, Entry]
    todo: tuple[str, ...]
    refresh: tuple[str, ...]
    blocked: Mapping[str, str]
    change_sets: tuple[ChangeSetRef, ...]
