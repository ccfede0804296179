"""watch: called every few minutes whether or not anything runs; says how old things are. Reads state alone, decides nothing.

Ages grow while nothing happens, so no run can tell them. When this step itself falls silent, its numbers are missing, and every alarm on them
takes that for the worst.
"""

from shared.core.measuring import freshness, run_ages, schedule_age, watermark_lag
from shared.core.ports import Clock, Log, State, Timer
from shared.spec.environment import Environment
from shared.spec.lake import Lake


def watch(*, lake: Lake, environment: Environment, state: State, timer: Timer, log: Log, clock: Clock) -> None:
    """Repeating it says the same again, as things are then. Raises BadState when the schedule is gone."""
    at = clock()
    lock = state.lock()
    log.measured("run_watched", run_ages(lock, None if lock.run is None else state.run(lock.run), at))
    certified = state.certified().tables
    for table in lake.tables:
        measures = freshness(certified.get(table.name), at)
        if table.source is not None:
            measures |= watermark_lag(state.progress(table.name), at)
        if measures:
            log.measured("table_watched", measures, table=table.name)
    if environment.schedule is not None and environment.schedule.enabled:
        log.measured("schedule_watched", schedule_age(state.last_scheduled(), timer.changed_at(), at))
