"""A world without AWS and Spark that drives the very steps that ship: state, documents, Delta tables and sources in memory.

Every port call is one effect. `World.faults` kills the calling process before or after a numbered effect, as a SIGKILL or a lost answer would.
Rows are dicts; a table's content is a mapping from key to row (bronze: from batch id to rows by lane).
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.core.errors import (
    BadState,
    ClaimRefused,
    EvidenceInvalid,
    EvidenceMissing,
    LostRace,
    MissingColumn,
    ObjectGone,
    SnapshotTooSmall,
    StaleFence,
)
from shared.core.files import FileObject, matching
from shared.core.messages import (
    Batch,
    BatchCounts,
    BatchEvidence,
    Certified,
    CommitMeta,
    Intent,
    Lock,
    LogCommit,
    Progress,
    RuleResult,
    RunRecord,
    WriteCounts,
)
from shared.core.ports import SourceClock, Staged, Written
from shared.core.window import looked_back
from shared.spec.codec import CodecError, from_json, to_json
from shared.spec.lake import Table

START = datetime(2026, 1, 1, tzinfo=UTC)
Row = dict[str, Any]


class Killed(BaseException):
    """The process is gone: nothing of it runs any more. Not an Exception, so that no step can catch it."""


def digest_of(value: object) -> str:
    return hashlib.sha256(json.dumps(to_json(value), sort_keys=True, default=str).encode()).hexdigest()


@dataclass
class World:
    """Time, faults and every store. `faults` maps an effect's number to "before" or "after"."""

    now: datetime = START
    effects: int = 0
    faults: dict[int, str] = field(default_factory=dict)
    trace: list[str] = field(default_factory=list)
    watch: Callable[[], None] = lambda: None  # called after every commit to a table

    def effect(self, name: str, act: Callable[[], Any]) -> Any:
        self.effects += 1
        self.trace.append(name)
        fault = self.faults.get(self.effects)
        if fault == "before":
            raise Killed(f"before {name}")
        result = act()
        if name.startswith("delta.commit "):
            self.watch()
        if fault == "after":
            raise Killed(f"after {name}")
        return result

    def clock(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


def effectful(cls: type) -> type:
    """Make every public method of a fake one effect of its world."""
    for name, method in list(vars(cls).items()):
        if callable(method) and not name.startswith("_"):
            setattr(cls, name, _wrapped(cls.__name__, name, method))
    return cls


def _wrapped(owner: str, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self.world.effect(f"{owner}.{name}", lambda: method(self, *args, **kwargs))

    return call


@effectful
class FakeState:
    """ports.State over dicts, with every condition of the real one."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._lock = Lock(run=None, fence=0, since=None, lake_hash=None)
        self._claims: dict[tuple[str, str, str], str] = {}
        self._certified = Certified(run=None, tables={})
        self._intent: Intent | None = None
        self._progress: dict[str, Progress] = {}
        self._pending: dict[str, dict[str, Batch]] = {}
        self._runs: dict[str, RunRecord] = {}
        self._schedules: dict[str, str] = {}
        self._bypasses: tuple[Any, ...] = ()

    def lock(self):
        return self._lock

    def take_lock(self, read, taken):
        if self._lock != read:
            raise LostRace("LOCK")
        self._lock = taken

    def release_lock(self, run, fence):
        if (self._lock.run, self._lock.fence) == (run, fence):
            self._lock = Lock(run=None, fence=fence, since=None, lake_hash=None)

    def claim(self, run, stage, group):
        return self._claims.get((run, stage, group))

    def put_claim(self, run, stage, group, *, read, glue_run):
        if self._claims.get((run, stage, group)) not in (read, glue_run):
            raise ClaimRefused("CLAIM")
        self._claims[(run, stage, group)] = glue_run

    def certified(self):
        return self._certified

    def intent(self):
        return self._intent

    def put_intent(self, intent):
        self._fenced(intent.run, intent.fence)
        if self._runs[intent.run].status in ("passed", "blocked"):
            raise StaleFence("RUN is committed")
        self._intent = intent

    def progress(self, table):
        return self._progress.get(table, Progress(position=None, seq=0))

    def pending(self, table):
        return tuple(sorted(self._pending.get(table, {}).values(), key=lambda batch: batch.seq))

    def freeze(self, run, fence, table, batch, *, prune_to):
        self._fenced(run, fence)
        batches = self._pending.setdefault(table, {})
        if batch.batch_id in batches:
            raise LostRace("PENDING")
        batches[batch.batch_id] = batch
        for gone in [b.batch_id for b in batches.values() if b.seq <= prune_to]:
            del batches[gone]

    def judge(self, run, fence, table, outcomes):
        self._fenced(run, fence)
        for batch_id, outcome in outcomes.items():
            self._pending[table][batch_id] = replace(self._pending[table][batch_id], outcome=outcome)

    def run(self, run):
        return self._runs.get(run)

    def runs(self, limit):
        return tuple(sorted(self._runs.values(), key=lambda record: record.started, reverse=True))[:limit]

    def start_run(self, record):
        self._fenced(record.run, record.fence)
        self._runs.setdefault(record.run, record)

    def note_stage(self, run, fence, stage, *, verdicts, counts, at):
        self._fenced(run, fence)
        old = self._runs[run]
        self._runs[run] = replace(old, verdicts=dict(old.verdicts) | {stage: dict(verdicts)}, counts=dict(old.counts) | {stage: dict(counts)})

    def fail_run(self, run, *, problem, at):
        record = self._runs.get(run)
        if record is not None and record.status not in ("passed", "blocked"):
            record = self._runs[run] = replace(record, status="failed", problem=problem, ended=at)
        return record

    def commit(self, *, run, fence, intent, entries, status, at, release):
        self._fenced(run, fence)
        if self._intent is None or self._intent.run != intent.run:
            raise StaleFence("INTENT")
        self._certified = Certified(run=intent.run, tables=dict(entries))
        self._progress.update(intent.progress)
        self._runs[intent.run] = replace(self._runs[intent.run], status=status, ended=at)
        self._intent = None
        if release:
            self._lock = Lock(run=None, fence=fence, since=None, lake_hash=None)

    def take_schedule(self, scheduled, run):
        return self._schedules.setdefault(scheduled, run)

    def last_scheduled(self):
        return max(self._schedules, default=None)

    def bypasses(self):
        return self._bypasses

    def put_bypass(self, bypass):
        self.remove_bypass(bypass.table, bypass.rule)
        self._bypasses += (bypass,)

    def remove_bypass(self, table, rule):
        self._bypasses = tuple(one for one in self._bypasses if (one.table, one.rule) != (table, rule))

    def _fenced(self, run, fence):
        if (self._lock.run, self._lock.fence) != (run, fence):
            raise StaleFence(f"lock is {self._lock.run}'s")


@effectful
class FakeDocuments:
    """ports.Documents over a dict of JSON texts."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._texts: dict[str, str] = {}

    def put(self, key, value):
        self._texts[key] = json.dumps(to_json(value))

    def get(self, key, kind):
        if key not in self._texts:
            raise EvidenceMissing(key)
        try:
            return from_json(kind, json.loads(self._texts[key]))
        except (CodecError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise EvidenceInvalid(f"{key}: {error}") from error

    def put_text(self, key, text, content_type):
        self._texts[key] = text


@effectful
class FakeExecutions:
    """ports.Executions: what runs is what the test says runs."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._running: set[str] = set()
        self._live: dict[str, set[str]] = {}
        self._glue: dict[str, str] = {}

    def is_terminal(self, machine, run):
        return run not in self._running

    def live_glue_runs(self, run):
        return tuple(sorted(self._live.get(run, ())))

    def stop_glue_runs(self, run):
        for glue_run in self._live.pop(run, set()):
            self._glue[glue_run] = "failed"

    def dpu_seconds(self, stage, glue_run):
        return 120.0 if glue_run in self._glue else None

    def glue_status(self, stage, glue_run):
        return self._glue[glue_run]


class FakeLog:
    """ports.Log that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []
        self.measures: list[tuple[str | None, str, float]] = []  # of a table or stage (None: the run), name, value

    def event(self, name, **fields):
        self.events.append((name, fields))

    warning = event

    def measured(self, name, measures, *, table=None, stage=None, **fields):
        self.event(name, table=table, stage=stage, **fields)
        self.measures += [(table or stage, measure, value) for measure, value in measures.items()]


class FakeNotify:
    """ports.Notify that remembers."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, str]] = []

    def alert(self, alert):
        self.alerts.append(to_json(alert))


@dataclass
class Version:
    """One Delta version: the content and the log's entry."""

    content: dict[Any, Any]
    commit: LogCommit


@dataclass
class Shop:
    """The sources: rows of a database with the time they became visible, and files."""

    rows: dict[str, list[tuple[datetime, Row]]] = field(default_factory=dict)
    files: dict[str, dict[str, tuple[FileObject, list[Row]]]] = field(default_factory=dict)  # table -> key -> object and its rows
    open_since: datetime | None = None

    def put(self, table: str, key: str, rows: list[Row], at: datetime) -> None:
        """An object, new or in the place of another."""
        self.files.setdefault(table, {})[key] = (FileObject(key=key, etag=digest_of(rows), size_bytes=len(rows), modified=at), rows)

    def visible(self, relation: str, at: datetime) -> list[Row]:
        latest: dict[Any, Row] = {}
        for committed, row in sorted(self.rows.get(relation, []), key=lambda item: item[0]):
            if committed <= at:
                latest[row["id"]] = row
        return list(latest.values())


class Lanes(dict):
    """A batch's rows by lane. `pointers` name the rejects that a replay consumed: `<batch id>/<position in its rejected lane>`."""

    def __init__(self, rows):
        super().__init__(rows)
        self.pointers: list[str] = []


def open_rejects(content: Mapping[str, Lanes]) -> dict[str, Row]:
    """Rejected rows of these batches that no replay among them has consumed, by pointer."""
    consumed = {pointer for lanes in content.values() for pointer in lanes.pointers}
    rejects = {f"{batch}/{number}": row for batch, lanes in content.items() for number, row in enumerate(lanes["rejected"])}
    return {pointer: row for pointer, row in rejects.items() if pointer not in consumed}


class FakeLake:
    """ports.Tables, ports.DeltaLog and ports.Sources in one: Delta tables as lists of versions, and the shop behind bronze.

    `bad` says which source rows break their contract. `compute` gives a derived table's rows by key from its inputs' rows by key.
    `affected` gives the keys to compute again, from the keys that changed in each input and its rows; a table without is always computed whole.
    """

    def __init__(self, world: World, shop: Shop, bad: Callable[[str, Row], bool], compute: Mapping[str, Callable[..., dict[Any, Row]]]) -> None:
        self.world, self.shop, self.bad, self.derivations = world, shop, bad, compute
        self.tables: dict[str, list[Version]] = {}
        self.staging: dict[str, tuple[dict[Any, Row], set[Any]]] = {}
        self.shapes: dict[str, str] = {}  # the definition whose columns a table has
        self.errors: dict[str, list[Row]] = {}
        self.affected: dict[str, Callable[..., set[Any]]] = {}
        self.halting: set[str] = set()  # tables whose rules are to be counted as broken
        self.refused: set[str] = set()  # tables whose data cannot be computed at all

    # ---- the log

    def latest(self, path):
        return self.world.effect("log.latest", lambda: len(self._at(path)) - 1 if self._at(path) else None)

    def commits(self, path, after):
        return self.world.effect("log.commits", lambda: tuple(version.commit for version in self._at(path)[after + 1 :]))

    # ---- the sources

    def clock(self, table):
        return self.world.effect("source.clock", lambda: SourceClock(now=self.world.clock(), oldest_open=self.shop.open_since, tells_open=True))

    # ---- writes

    def create(self, table, writer, guard):
        if self._versions(table):
            raise BadState(f"{table.name} is there")
        version = self._commit(table, {}, writer, guard, kind="create", operation="CREATE TABLE", digest=None)
        self.shapes[table.name] = table.definition_hash
        return version

    def restore(self, table, version, writer, guard):
        content = self._versions(table)[version].content
        return self._commit(table, content, writer, guard, kind="restore", operation="RESTORE", digest=None, restored_to=version)

    def objects(self, table):
        return self.world.effect("source.list", lambda: self._listed(table))

    def land(self, table, batch, *, objects=(), holds_rows, writer, guard):
        self._refuse(table)
        lower = {batch_id: lanes for batch_id, lanes in self._versions(table)[-1].content.items() if batch_id < batch.batch_id}
        warnings, deleted = [], []
        if batch.replay is not None:
            lanes = self._replayed(table, lower)
            return self._commit_lanes(table, batch, lanes, len(lanes["seen"]), holds_rows, writer, guard)
        if table.source.files:
            new, seen, warnings = self._files_rows(table, objects), [], self._changed(table, objects)
        elif table.source.snapshot:
            new, seen, deleted = self._snapshot_rows(table, batch, lower)
        else:
            new, seen = self._window_rows(table, batch, lower)
        good, bad = ([r for r in new if self.bad(table.name, r) is wrong] for wrong in (False, True))
        lanes = Lanes({"accepted": good + deleted, "rejected": bad})
        late = sum(row["at"] < batch.lo for row in new) if table.source.watermark and batch.seq > 1 else 0
        return self._commit_lanes(
            table, batch, lanes, len(seen), holds_rows, writer, guard, deleted=len(deleted), late=late, warnings=tuple(warnings)
        )

    def _commit_lanes(self, table, batch, lanes, seen, holds_rows, writer, guard, *, deleted=0, late=0, warnings=()):
        accepted, rejected = len(lanes["accepted"]) - deleted, len(lanes["rejected"])
        evidence = BatchEvidence(
            batch_id=batch.batch_id,
            seq=batch.seq,
            lo=batch.lo,
            hi=batch.hi,
            contract_hash=table.contract_hash,
            fence=writer.fence,
            glue_run=writer.glue_run,
            version=None,
            digest=digest_of([lanes, lanes.pointers]),
            counts=BatchCounts(read=accepted + rejected + seen, accepted=accepted, rejected=rejected, seen=seen, deleted=deleted),
            null_positions=0,
            reasons={},
            rules=self._rules(table, accepted + rejected),
            late=late,
            manifest=batch.manifest,
            warnings=warnings,
            replay=batch.replay,
        )
        by_lane = {name: len(rows) for name, rows in lanes.items()}
        if not sum(by_lane.values()) and not holds_rows:
            return replace(evidence, digest=None)
        content = dict(self._versions(table)[-1].content) | {batch.batch_id: lanes}
        version = self._commit(table, content, writer, guard, kind="batch", operation="WRITE", digest=evidence.digest, batch=evidence, rows=by_lane)
        return replace(evidence, version=version)

    def write_errors(self, table, batch, prefix, *, rejected):
        rows = self._versions(table)[-1].content[batch.batch_id]["rejected"]
        if len(rows) != rejected:
            raise AssertionError(f"{batch.batch_id}: {rejected} rejects are told of and {len(rows)} are there")
        self.world.effect("errors.put", lambda: self.errors.__setitem__(f"{prefix}/{batch.batch_id}", rows))

    def merge(self, table, origin, *, after_seq, up_to_seq, rebuild, writer, guard):
        self._refuse(table)
        old = self._versions(table)[-1].content
        new = {} if rebuild else dict(old)
        for batch_id, lanes in sorted(self._versions(origin)[-1].content.items()):
            if after_seq < int(batch_id.rsplit("-", 1)[1]) <= up_to_seq:
                for row in lanes["accepted"]:
                    if table.load == "log":
                        new[_order(row)] = row  # every state, once
                    elif row["id"] not in new or _order(new[row["id"]]) < _order(row):
                        new[row["id"]] = row
        return self._write(table, old, new, writer, guard)

    def derive(self, table, inputs, *, rebuild, writer, guard):
        self._refuse(table)
        target = self._versions(table)[-1].content
        return self._write(table, target, self._compute(table, inputs, target, rebuild=rebuild), writer, guard)

    def check(self, table, version, *, consumed):
        return self.world.effect("table.check", lambda: self._rules(table, len(self._versions(table)[version].content)))

    def stage(self, table, inputs, *, target_version, rebuild, path, overlays):
        self._refuse(table)
        target = {} if target_version is None else self._versions(table)[target_version].content
        new = self._compute(table, inputs, target, rebuild=rebuild)
        upserts = {key: row for key, row in new.items() if target.get(key) != row}
        deletes = set(target) - set(new)
        self.world.effect("staging.put", lambda: self.staging.__setitem__(path, (upserts, deletes)))
        inserted = len([key for key in upserts if key not in target])
        counts = WriteCounts(inserted=inserted, updated=len(upserts) - inserted, deleted=len(deletes), unchanged=0)
        digest = digest_of([sorted(map(str, upserts.items())), sorted(map(str, deletes))])
        reshapes = target_version is not None and self.shapes[table.name] != table.definition_hash  # every new definition brings a column
        rules = self._rules(table, len(new))
        return Staged(digest=digest, upserts=len(upserts), deletes=len(deletes), reshapes=reshapes, counts=counts, rules=rules)

    def publish(self, table, change_set, phase, *, meta_run, writer, guard):
        upserts, deletes = self.staging[change_set.path]
        if digest_of([sorted(map(str, upserts.items())), sorted(map(str, deletes))]) != change_set.digest:
            raise EvidenceInvalid(change_set.path)
        content = dict(self._versions(table)[-1].content)
        if phase == "upserts":
            content |= upserts
        else:
            content = {key: row for key, row in content.items() if key not in deletes}
        writer = replace(writer, run=meta_run)
        version = self._commit(table, content, writer, guard, kind="publish", operation="MERGE", digest=change_set.digest, phase=phase)
        if phase == "upserts":
            self.shapes[table.name] = table.definition_hash
        return version

    # ---- private

    def _replayed(self, table, lower):
        """Every open reject of the lower batches: accepted if it holds now, seen if it is accepted already, else rejected again."""
        accepted = [row for lanes in lower.values() for row in lanes["accepted"]]
        lanes = Lanes({"accepted": [], "rejected": [], "seen": []})
        for pointer, row in sorted(open_rejects(lower).items()):
            seen = row in accepted or row in lanes["accepted"]
            lane = "rejected" if self.bad(table.name, row) else "seen" if seen else "accepted"
            lanes[lane].append(row)
            lanes.pointers.append(pointer)
        return lanes

    def _window_rows(self, table, batch, lower):
        earliest = looked_back(table.source.windows, batch.lo)
        rows = self.world.effect(
            "source.read",
            lambda: [r for r in self.shop.visible(table.source.relation, self.world.now) if earliest <= r["at"] < batch.hi],
        )
        known = [row for lanes in lower.values() for lane in lanes.values() for row in lane]
        seen = [row for row in rows if row["at"] < batch.lo and row in known]
        return [row for row in rows if row not in seen], seen

    def _listed(self, table):
        held = self.shop.files.get(table.name, {})
        wanted = matching(table.source.files.pattern, held)
        return tuple(file for key, (file, _) in held.items() if key in wanted)

    def _files_rows(self, table, objects):
        held = self.world.effect("source.read", lambda: dict(self.shop.files.get(table.name, {})))
        gone = [file.key for file in objects if file.key not in held]
        if gone:
            raise ObjectGone(f"{table.name}: {gone} vanished")
        return [row for file in objects if held[file.key][0] == file for row in held[file.key][1]]

    def _changed(self, table, objects):
        return [f"{file.key} changed" for file in objects if self.shop.files[table.name][file.key][0] != file]

    def _snapshot_rows(self, table, batch, lower):
        visible = self.world.effect("source.read", lambda: self.shop.visible(table.source.relation, self.world.now))
        rows = {row["id"]: row | {"at": batch.hi, "deleted": False} for row in visible if not row.get("deleted")}
        known = {row["id"]: row for _, lanes in sorted(lower.items()) for row in lanes["accepted"]}
        refused = [row | {"at": batch.hi} for lanes in lower.values() for row in lanes["rejected"]]
        live = {key: row for key, row in known.items() if not row["deleted"]}
        if len(rows) < table.source.snapshot.min_share * len(live):
            raise SnapshotTooSmall(f"{table.name}: {len(rows)} of {len(live)}")
        seen = [
            row for key, row in rows.items() if (row in refused if self.bad(table.name, row) else key in live and live[key] | {"at": batch.hi} == row)
        ]
        gone = [row | {"at": batch.hi, "deleted": True} for key, row in live.items() if key not in rows]
        return [row for row in rows.values() if row not in seen], seen, gone

    def _refuse(self, table: Table) -> None:
        if table.name in self.refused:
            raise MissingColumn(f"{table.name}: the column 'id' is not there")

    def _at(self, path: str) -> list[Version]:
        return self.tables.get(path.replace("/", "."), [])

    def _versions(self, table: Table) -> list[Version]:
        return self.tables.setdefault(table.name, [])

    def _compute(self, table, inputs, target, *, rebuild):
        rows = {read.table.name.replace(".", "_"): self._read(read) for read in inputs}
        whole = self.derivations[table.name](**rows)
        if rebuild or table.name not in self.affected:
            return whole
        again = self.affected[table.name]({read.table.name.replace(".", "_"): self._changed_keys(read) for read in inputs}, **rows)
        return {key: row for key, row in target.items() if key not in again} | {key: whole[key] for key in again if key in whole}

    def _changed_keys(self, read) -> set[Any]:
        """Keys whose row is not the one that the table consumed."""
        before = {} if read.consumed is None else self._read(replace(read, version=read.consumed, overlay=None))
        after = self._read(read)
        return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}

    def _read(self, read) -> dict[Any, Row]:
        content = {} if read.version is None else dict(self._versions(read.table)[read.version].content)
        if read.overlay is not None:
            upserts, deletes = self.staging[read.overlay]
            content = {key: row for key, row in (content | upserts).items() if key not in deletes}
        return living(read.table, content)

    def _write(self, table, old, new, writer, guard):
        inserted, updated, deleted = (
            len(new.keys() - old.keys()),
            len([k for k in new if k in old and new[k] != old[k]]),
            len(old.keys() - new.keys()),
        )
        counts = WriteCounts(inserted=inserted, updated=updated, deleted=deleted, unchanged=0)
        if new == old:
            return Written(version=len(self._versions(table)) - 1, digest=None, unchanged=True, counts=counts)
        digest = digest_of(sorted(map(str, new.items())))
        metrics = {"numTargetRowsInserted": inserted, "numTargetRowsUpdated": updated, "numTargetRowsDeleted": deleted}
        version = self._commit(table, new, writer, guard, kind="merge", operation="MERGE", digest=digest, metrics=metrics)
        return Written(version=version, digest=digest, unchanged=False, counts=counts)

    def _rules(self, table: Table, elements: int) -> tuple[RuleResult, ...]:
        broken = elements if table.name in self.halting else 0
        return tuple(
            RuleResult(
                rule=rule.id,
                expectation=rule.expectation,
                kwargs=rule.kwargs,
                element=rule.element,
                elements=elements,
                missing=0,
                unexpected=broken,
                observed=None,
            )
            for rule in table.rules
        )

    def _commit(self, table, content, writer, guard, *, kind, operation, digest, phase=None, batch=None, restored_to=None, rows=None, metrics=None):
        guard()
        meta = CommitMeta(
            kind=kind,
            run=writer.run,
            fence=writer.fence,
            glue_run=writer.glue_run,
            table=table.name,
            digest=digest,
            phase=phase,
            restored_to=restored_to,
            batch=batch,
        )
        versions = self._versions(table)

        def put() -> int:
            commit = LogCommit(
                version=len(versions), operation=operation, timestamp=self.world.now, meta=meta, metrics=metrics or {}, rows=rows or {}
            )
            versions.append(Version(content=content, commit=commit))
            return commit.version

        return self.world.effect(f"delta.commit {table.name}", put)


def living(table: Table, content: Mapping[Any, Row]) -> dict[Any, Row]:
    """What a reader sees: tombstones are left out; a log's deletes are states like others."""
    return {key: row for key, row in content.items() if table.load == "log" or not row.get("deleted")}


def _order(row: Row) -> tuple[Any, ...]:
    return (row["at"], bool(row.get("deleted")), json.dumps(row, sort_keys=True, default=str))
