"""What every Glue job does first: claim its group, pin the lake, and from then on prove before each commit that it may still write."""

from dataclasses import dataclass

from shared.core.errors import ClaimRefused, DeployedMidRun, StaleFence
from shared.core.ports import Clock, DeltaLog, DoAll, Documents, Executions, Guard, Log, Sources, State, Tables, Writer
from shared.spec.lake import Lake, PinnedLake, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One Glue run's arguments. `target` is the run whose intent publish applies; under another run's name that is recovery."""

    run: str
    fence: int
    stage: Stage
    group: str
    glue_run: str
    target: str | None

    @property
    def claim_stage(self) -> str:
        return "recover" if self.target is not None and self.target != self.run else self.stage


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """A job and its ports."""

    job: Job
    pinned: PinnedLake
    max_windows: int
    state: State
    documents: Documents
    delta_log: DeltaLog
    executions: Executions
    log: Log
    clock: Clock
    tables: Tables
    sources: Sources
    do_all: DoAll

    @property
    def lake(self) -> Lake:
        return self.pinned.lake

    @property
    def writer(self) -> Writer:
        return Writer(run=self.job.run, fence=self.job.fence, glue_run=self.job.glue_run)

    @property
    def guard(self) -> Guard:
        return lambda: check_writer(self)


def claim_group(ctx: JobContext) -> None:
    """Take this group for this Glue run. A retried start makes twins, some late: only a claimant that ended and failed may be replaced.

    Raises ClaimRefused, DeployedMidRun, StaleFence. Repeating it with the same Glue run changes nothing.
    """
    job, state = ctx.job, ctx.state
    holder = state.claim(job.run, job.claim_stage, job.group)
    if holder is not None and holder != job.glue_run:
        status = ctx.executions.glue_status(job.claim_stage, holder)
        if status != "failed":
            raise ClaimRefused(f"{job.claim_stage}/{job.group} of run {job.run} is claimed by Glue run {holder}, which is {status}")
    state.put_claim(job.run, job.claim_stage, job.group, read=holder, glue_run=job.glue_run)
    check_pin(state, ctx.pinned, run=job.run, fence=job.fence)
    check_writer(ctx)
    ctx.log.event("group_claimed", stage=job.claim_stage, group=job.group)


def check_writer(ctx: JobContext) -> None:
    """Raise StaleFence unless lock, fence and claim are this job's, now."""
    job = ctx.job
    lock = ctx.state.lock()
    if (lock.run, lock.fence) != (job.run, job.fence):
        raise StaleFence(
            f"{job.claim_stage}/{job.group} of run {job.run} (fence {job.fence}): the lock is run {lock.run}'s (fence {lock.fence}); nothing written"
        )
    holder = ctx.state.claim(job.run, job.claim_stage, job.group)
    if holder != job.glue_run:
        raise StaleFence(f"{job.claim_stage}/{job.group} of run {job.run}: claimed by Glue run {holder}, not {job.glue_run}; nothing written")


def check_pin(state: State, pinned: PinnedLake, *, run: str, fence: int) -> None:
    """Raise unless `run` holds the lock under `fence` and pinned this very lake.json."""
    lock = state.lock()
    if (lock.run, lock.fence) != (run, fence):
        raise StaleFence(f"run {run} (fence {fence}) does not hold the lock: it is run {lock.run}'s (fence {lock.fence})")
    if lock.lake_hash != pinned.hash:
        raise DeployedMidRun(
            f"run {run} began with lake.json {str(lock.lake_hash)[:12]}, this code carries {pinned.hash[:12]}: deployed mid-run; start again"
        )
