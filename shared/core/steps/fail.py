"""fail: the one path of every failure. Record it, tell the owners, stop what the run started, release the lock if nothing of it lives."""

from shared.core.alerts import of_failure
from shared.core.events import FailAnswer, FailRequest
from shared.core.messages import RunRecord
from shared.core.ports import Clock, Executions, Log, Notify, State
from shared.spec.lake import PinnedLake


def fail(request: FailRequest, *, pinned: PinnedLake, state: State, executions: Executions, notify: Notify, log: Log, clock: Clock) -> FailAnswer:
    """A committed run answers its own status and is not overwritten. A lock that cannot be released yet is the next plan's to judge.

    Repeated, it tells the owners again.
    """
    record = state.fail_run(request.run, problem=f"{request.error}: {request.cause}", at=clock())
    if record is not None and record.status in ("passed", "blocked"):
        return FailAnswer(status=record.status, released=False)
    log.warning("run_failed", error=request.error, cause=request.cause)
    released = _release(request, record, state, executions, log)
    for alert in of_failure(pinned.lake, request.run, request.error, request.cause):
        notify.alert(alert)
    return FailAnswer(status="failed", released=released)


def _release(request: FailRequest, record: RunRecord | None, state: State, executions: Executions, log: Log) -> bool:
    if record is None:
        return False
    executions.stop_glue_runs(request.run)
    live = executions.live_glue_runs(request.run)
    if live:
        log.warning("lock_kept", glue_runs=list(live))
        return False
    state.release_lock(request.run, record.fence)
    return True
