"""The role table: what each Lambda and each Glue job may touch. Who writes which kind of state follows the protocol's own table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shared.spec.lake import Stage

Kind = Literal["LOCK", "CERTIFIED", "INTENT", "WATERMARK", "PENDING", "CLAIM", "RUN", "SCHEDULED", "BYPASS"]
Function = Literal["plan", "gate", "commit", "report", "fail", "watch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Folders are key patterns in the lake's bucket; `writes` says which kinds of state. Every role may read all state: it holds no data.

    `replaces`: may delete objects where it writes them (Spark does, under its own tables). `drops`: kinds it may delete.
    `times`: may look at the schedule. `alerts`: may write to the topics of owners. `meters`: may ask what a Glue run took.
    `watches`: may ask Step Functions and Glue whether a run is over. `stops`: may stop its Glue runs. `secrets`: mask key and sources (files too).
    """

    reads_from: tuple[str, ...] = ()
    writes_to: tuple[str, ...] = ()
    writes: tuple[Kind, ...] = ()
    drops: tuple[Kind, ...] = ()
    replaces: bool = False
    watches: bool = False
    stops: bool = False
    times: bool = False
    alerts: bool = False
    meters: bool = False
    secrets: bool = False


FUNCTIONS: Mapping[Function, Access] = {
    "plan": Access(reads_from=("_runs/*",), writes_to=("_runs/*",), writes=("LOCK", "RUN", "SCHEDULED"), watches=True),
    "gate": Access(
        reads_from=("_runs/*", "_evidence/*", "bronze/*/_delta_log/*", "silver/*/_delta_log/*", "gold/*/_delta_log/*"),
        writes_to=("_runs/*",),
        writes=("PENDING", "INTENT", "RUN"),
        alerts=True,
    ),
    "commit": Access(reads_from=("gold/*/_delta_log/*",), writes=("LOCK", "CERTIFIED", "INTENT", "WATERMARK", "RUN"), drops=("INTENT",)),
    "report": Access(reads_from=("_runs/*", "_evidence/*"), writes_to=("_runs/*",), meters=True),
    "fail": Access(writes=("LOCK", "RUN"), watches=True, stops=True, alerts=True),
    "watch": Access(times=True),
}

JOBS: Mapping[Stage, Access] = {
    "ingest": Access(
        reads_from=("_runs/*", "_windows/*", "bronze/*", "_errors/bronze/*"),  # rejects are moved into place, which reads them
        writes_to=("_windows/*", "bronze/*", "_errors/bronze/*", "_evidence/*/ingest/*"),
        writes=("CLAIM", "PENDING"),
        replaces=True,
        secrets=True,
    ),
    "refine": Access(
        reads_from=("_runs/*", "bronze/*", "silver/*"), writes_to=("silver/*", "_evidence/*/refine/*"), writes=("CLAIM",), replaces=True
    ),
    "stage": Access(
        reads_from=("_runs/*", "silver/*", "gold/*", "_staging/*"),
        writes_to=("_staging/*", "_evidence/*/stage/*"),
        writes=("CLAIM",),
        replaces=True,
    ),
    "publish": Access(reads_from=("_runs/*", "_staging/*", "gold/*"), writes_to=("gold/*",), writes=("CLAIM",), replaces=True),
}
