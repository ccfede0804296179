"""ports.State over one DynamoDB table: what each kind's item looks like, and the condition under which it may be written.

Items are their dataclass's fields beside `kind` and `id`, a None being an absent attribute; but
PENDING   holds `batches`, a map from batch id to batch
CLAIM     has the id `run#stage#group`
RUN       also has tiny entries `started#<instant>#<run>` (no execution's name holds a `#`), written with the record, so that the newest runs
          are one query from the end and not a read of all history
SCHEDULED has the schedule's time as id; BYPASS `table#rule`
A transaction whose answer was lost and that is sent again finds its own work: what stands there already is success.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from shared.aws.acts import (
    claim_id,
    exactly,
    first_batch,
    holds_lock,
    not_committed,
    one_more_batch,
    release_if_held,
    run_and_fence,
    set_outcomes,
    timing_of,
)
from shared.aws.dynamo import Act, StateTable, Unmet
from shared.core.errors import BadState, ClaimRefused, ContractError, LostRace, StaleFence
from shared.core.messages import (
    Batch,
    Bypass,
    Certified,
    Entry,
    Intent,
    Lock,
    Outcome,
    Progress,
    RunRecord,
)
from shared.spec.codec import CodecError, from_json, instant_text, to_json
from shared.spec.lake import Stage

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")
COMMITTED = ("passed", "blocked")
JUDGED_AT_ONCE = 50  # an update expression holds 300 operators
ITEMS_AT_ONCE = 100  # of one transaction
STARTED = "started#"


class DynamoState:
    """The state of one deployment. `table` is Environment.state_table."""

    def __init__(self, table: str, *, region: str | None = None, client: "DynamoDBClient | None" = None) -> None:
        self._table = StateTable(table, region=region, client=client)

    # ---- LOCK

    def lock(self) -> Lock:
        item = self._table.get("LOCK")
        return Lock(run=None, fence=0, since=None, lake_hash=None) if item is None else _read(Lock, item, "LOCK")

    def take_lock(self, read: Lock, taken: Lock) -> None:
        try:
            self._table.write(Act(verb="Put", kind="LOCK", item=to_json(taken), **exactly(read)))
        except Unmet as unmet:
            now = self.lock()
            if now != taken:
                raise LostRace(f"the lock was to go from {_who(read)} to {_who(taken)}, and is {_who(now)}'s: another run was faster") from unmet

    def release_lock(self, run: str, fence: int) -> None:
        try:
            self._table.write(release_if_held(run, fence))
        except Unmet:
            return  # released already, or another's

    # ---- CLAIM

    def claim(self, run: str, stage: str, group: str) -> str | None:
        item = self._table.get("CLAIM", claim_id(run, stage, group))
        return None if item is None else str(item["glue_run"])

    def put_claim(self, run: str, stage: str, group: str, *, read: str | None, glue_run: str) -> None:
        allowed = {"mine": glue_run} | ({} if read is None else {"read": read})
        condition = "#glue_run IN (:mine, :read)" if read is not None else "attribute_not_exists(#glue_run) OR #glue_run = :mine"
        act = Act(
            verb="Put",
            kind="CLAIM",
            id=claim_id(run, stage, group),
            item={"glue_run": glue_run},
            condition=condition,
            names={"glue_run": "glue_run"},
            values=allowed,
        )
        try:
            self._table.write(act)
        except Unmet as unmet:
            holder = self.claim(run, stage, group)
            raise ClaimRefused(f"{stage}/{group} of run {run}: Glue run {holder} claimed it before {glue_run} could") from unmet

    # ---- CERTIFIED, INTENT, WATERMARK

    def certified(self) -> Certified:
        item = self._table.get("CERTIFIED")
        return Certified(run=None, tables={}) if item is None else _read(Certified, item, "CERTIFIED")

    def intent(self) -> Intent | None:
        item = self._table.get("INTENT")
        return None if item is None else _read(Intent, item, "INTENT")

    def put_intent(self, intent: Intent) -> None:
        """Also refuses (BadState) to overwrite the intent of another run: its gold may be half published."""
        write = Act(
            verb="Put",
            kind="INTENT",
            item=to_json(intent),
            condition="attribute_not_exists(#run) OR #run = :run",
            names={"run": "run"},
            values={"run": intent.run},
        )
        try:
            self._table.write(holds_lock(intent.run, intent.fence), not_committed(intent.run), write)
        except Unmet as unmet:
            if "INTENT" in unmet.kinds and not unmet.kinds & {"LOCK", "RUN"}:
                raise BadState(
                    f"run {intent.run} cannot write its intent: another run's is not committed; run again, which finishes that first"
                ) from unmet
            raise self._refusal(unmet, intent.run, intent.fence) from unmet

    def progress(self, table: str) -> Progress:
        item = self._table.get("WATERMARK", table)
        return Progress(position=None, seq=0) if item is None else _read(Progress, item, f"WATERMARK {table}")

    # ---- PENDING

    def pending(self, table: str) -> tuple[Batch, ...]:
        return tuple(sorted(self._batches(table) or (), key=lambda batch: batch.seq))

    def freeze(self, run: str, fence: int, table: str, batch: Batch, *, prune_to: int) -> None:
        """The very same batch again is the lost answer of this call, and success."""
        known = self._batches(table)
        if any(other.seq == batch.seq and other.batch_id != batch.batch_id for other in known or ()):
            raise LostRace(f"{table}: seq {batch.seq} is there under another batch id than {batch.batch_id}")
        gone = [other.batch_id for other in known or () if other.seq <= prune_to]
        write = first_batch(table, batch) if known is None else one_more_batch(table, batch, gone)
        try:
            self._table.write(holds_lock(run, fence), write)
        except Unmet as unmet:
            if "LOCK" in unmet.kinds:
                raise self._refusal(unmet, run, fence) from unmet
            if batch not in self.pending(table):
                raise LostRace(f"{table}: another writer added to its pending batches before {batch.batch_id}") from unmet

    def judge(self, run: str, fence: int, table: str, outcomes: Mapping[str, Outcome]) -> None:
        """Raises LostRace, with nothing of the call's last 50 written, when one of the batches is not pending."""
        ordered = sorted(outcomes.items())
        for start in range(0, len(ordered), JUDGED_AT_ONCE):
            part = ordered[start : start + JUDGED_AT_ONCE]
            try:
                self._table.write(holds_lock(run, fence), set_outcomes(table, part))
            except Unmet as unmet:
                if "LOCK" in unmet.kinds:
                    raise self._refusal(unmet, run, fence) from unmet
                raise LostRace(f"{table}: not all of {', '.join(id for id, _ in part)} are pending; no outcome of them written") from unmet

    # ---- RUN

    def run(self, run: str) -> RunRecord | None:
        item = self._table.get("RUN", run)
        return None if item is None else _read(RunRecord, item, f"RUN {run}")

    def runs(self, limit: int) -> tuple[RunRecord, ...]:
        newest = self._table.query("RUN", prefix=STARTED, newest_first=True, limit=limit)
        records = (self.run(str(entry["run"])) for entry in newest)
        return tuple(record for record in records if record is not None)

    def start_run(self, record: RunRecord) -> None:
        new = Act(verb="Put", kind="RUN", id=record.run, item=to_json(record), condition="attribute_not_exists(#kind)", names={"kind": "kind"})
        entry = Act(verb="Put", kind="RUN", id=f"{STARTED}{instant_text(record.started)}#{record.run}", item={"run": record.run})
        try:
            self._table.write(holds_lock(record.run, record.fence), new, entry)
        except Unmet as unmet:
            if "LOCK" in unmet.kinds:
                raise self._refusal(unmet, record.run, record.fence) from unmet

    def note_stage(
        self, run: str, fence: int, stage: Stage, *, verdicts: Mapping[str, str], counts: Mapping[str, Mapping[str, int]], at: datetime
    ) -> None:
        """A stage starts where the one before it ended, or with the run."""
        record = self.run(run)
        act = replace(
            not_committed(run),
            verb="Update",
            update="SET verdicts.#stage = :verdicts, counts.#stage = :counts, timings.#stage = :timing",
        )
        noted = {"verdicts": verdicts, "counts": counts, "timing": timing_of(record, stage, at)}
        act = replace(act, names={**act.names, "stage": stage}, values={**act.values, **noted})
        try:
            self._table.write(holds_lock(run, fence), act)
        except Unmet as unmet:
            raise self._refusal(unmet, run, fence) from unmet

    def fail_run(self, run: str, *, problem: str, at: datetime) -> RunRecord | None:
        act = replace(not_committed(run), verb="Update", update="SET #status = :failed, problem = :problem, ended = :at")
        failed = {"failed": "failed", "problem": problem, "at": instant_text(at)}
        with suppress(Unmet):  # committed, or there is none: the record says which
            self._table.write(replace(act, values={**act.values, **failed}))
        return self.run(run)

    def commit(self, *, run: str, fence: int, intent: Intent, entries: Mapping[str, Entry], status: str, at: datetime, release: bool) -> None:
        acts = [
            release_if_held(run, fence) if release else holds_lock(run, fence),
            Act(verb="Put", kind="CERTIFIED", item=to_json(Certified(run=intent.run, tables=entries))),
            *(Act(verb="Put", kind="WATERMARK", id=table, item=to_json(progress)) for table, progress in sorted(intent.progress.items())),
            self._committed(intent.run, status, at),
            Act(verb="Delete", kind="INTENT", condition="#run = :run AND #fence = :fence", **run_and_fence(intent.run, intent.fence)),
        ]
        if len(acts) > ITEMS_AT_ONCE:
            raise ContractError(f"a lake of {len(intent.progress)} sources cannot commit: a transaction holds {ITEMS_AT_ONCE} items; split the lake")
        try:
            self._table.write(*acts)
        except Unmet as unmet:
            if not self._is_committed(intent.run, at):
                raise self._refusal(unmet, run, fence) from unmet

    # ---- SCHEDULED, BYPASS

    def take_schedule(self, scheduled: str, run: str) -> str:
        act = Act(
            verb="Put",
            kind="SCHEDULED",
            id=scheduled,
            item={"run": run, "scheduled": scheduled},
            condition="attribute_not_exists(#kind)",
            names={"kind": "kind"},
        )
        try:
            self._table.write(act)
        except Unmet:
            item = self._table.get("SCHEDULED", scheduled)
            return run if item is None else str(item["run"])
        return run

    def last_scheduled(self) -> str | None:
        newest = self._table.query("SCHEDULED", newest_first=True, limit=1)
        return str(newest[0]["scheduled"]) if newest else None

    def bypasses(self) -> tuple[Bypass, ...]:
        return tuple(_read(Bypass, item, "BYPASS") for item in self._table.query("BYPASS"))

    def put_bypass(self, bypass: Bypass) -> None:
        self._table.write(Act(verb="Put", kind="BYPASS", id=f"{bypass.table}#{bypass.rule}", item=to_json(bypass)))

    def remove_bypass(self, table: str, rule: str) -> None:
        self._table.write(Act(verb="Delete", kind="BYPASS", id=f"{table}#{rule}"))

    # ---- private

    def _batches(self, table: str) -> tuple[Batch, ...] | None:
        item = self._table.get("PENDING", table)
        return None if item is None else tuple(_read(Batch, batch, f"PENDING {table}") for batch in item["batches"].values())

    def _committed(self, run: str, status: str, at: datetime) -> Act:
        act = replace(not_committed(run), verb="Update", update="SET #status = :status, ended = :at, timings.#stage = :timing")
        ended = {"status": status, "at": instant_text(at), "timing": timing_of(self.run(run), "publish", at)}
        return replace(act, names={**act.names, "stage": "publish"}, values={**act.values, **ended})

    def _is_committed(self, run: str, at: datetime) -> bool:
        record = self.run(run)
        return record is not None and record.status in COMMITTED and record.ended == at

    def _refusal(self, unmet: Unmet, run: str, fence: int) -> Exception:
        """Which of the conditions failed, in words; the lock's comes first."""
        if "LOCK" in unmet.kinds:
            return StaleFence(f"run {run} (fence {fence}) may not write: the lock is {_who(self.lock())}'s; nothing written")
        if "INTENT" in unmet.kinds:
            return StaleFence(f"run {run} (fence {fence}) may not commit: the intent it read is gone or another's; nothing written")
        return StaleFence(f"run {run} (fence {fence}) may not write: its RUN is committed or was never started; nothing written")


def _read(cls: type[T], item: Mapping[str, Any], where: str) -> T:
    whole = {field.name: item.get(field.name) for field in fields(cls)} | dict(item)  # type: ignore[arg-type]  # every T here is a dataclass
    try:
        return from_json(cls, whole)
    except CodecError as odd:
        raise BadState(f"state item {where}: {odd}; it was not written by this version") from odd


def _who(lock: Lock) -> str:
    return f"{'no run' if lock.run is None else 'run ' + lock.run} (fence {lock.fence})"
