"""What a run finds before it begins: state and Delta logs, and where the two disagree. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.core.batches import begun_by_us, unknown_batches
from shared.core.files import FileObject
from shared.core.graph import settled
from shared.core.messages import Batch, Certified, Entry, Intent, LogCommit, Progress
from shared.spec.lake import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """What lies where a table of files reads, and what is known of it after its last frozen batch: ETag by key."""

    listed: tuple[FileObject, ...]
    inventory: Mapping[str, str]
    problem: str | None  # why it could not be listed; nothing is, then


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What state and logs say, an unfinished intent taken as finished.

    `pending` are a source's batches beyond the last committed one. `commits` are those of a source since its certified version, and all of a
    table that was never certified.
    """

    certified: Certified
    progress: Mapping[str, Progress]
    pending: Mapping[str, tuple[Batch, ...]]
    folders: Mapping[str, Folder]  # of each source of files
    commits: Mapping[str, tuple[LogCommit, ...]]
    latest: Mapping[str, int | None]  # version of each table's log
    finishes_first: str | None  # the run of that intent


def finished(intent: Intent) -> Certified:
    """CERTIFIED as it will be when the intent is published and committed: each phase is one version."""
    versions = {ref.table: (0 if ref.base_version is None else ref.base_version) + len(ref.phases) for ref in intent.change_sets}
    return Certified(run=intent.run, tables=settled(intent.entries, versions))


def taken_back(name: str, standing: Standing) -> tuple[int, int] | None:
    """The versions from and to which a silver table is restored before it is computed: a dead or halted run left a newer one."""
    base, latest = _base(standing.certified.tables.get(name)), standing.latest.get(name)
    return (latest, base) if latest is not None and latest > base else None


def oddities(table: Table, standing: Standing) -> tuple[str, ...]:
    """Where table and state disagree. Gold that an unfinished intent is yet to publish is not as it will be found."""
    if standing.finishes_first is not None and table.layer == "gold":
        return ()
    entry, latest = standing.certified.tables.get(table.name), standing.latest[table.name]
    if latest is None:
        return () if entry is None else (f"it is certified at version {entry.version} but there is no table: the run would stop here",)
    base = _base(entry)
    if latest < base:
        return (f"it is certified at version {base} but its log ends at {latest}: the run would stop here",)
    if _strange(table, entry, standing):
        return ("it holds data that no run of this lake froze or created: the run would stop here",)
    if latest == base or table.layer == "bronze":
        return ()
    if table.layer == "gold":
        return (f"something other than publish wrote it: its log ends at {latest}, certified is {base}; the run would stop here",)
    return (f"a run that did not commit left version {latest}: it is first taken back to {base}",)


def _strange(table: Table, entry: Entry | None, standing: Standing) -> bool:
    if entry is None and not begun_by_us(standing.commits[table.name]):
        return True
    if table.source is None:
        return False
    after_seq = standing.progress[table.name].seq
    return bool(unknown_batches(standing.commits[table.name], standing.pending[table.name], after_seq=after_seq))


def _base(entry: Entry | None) -> int:
    return 0 if entry is None else entry.version
