"""What a job's end says: its own error, its time limit, and that nothing of it is left."""

import os
import subprocess
import sys
import time

import pytest

from local.aws import Keys
from local.children import Children, start_time
from local.launcher import JobFailed, JobRun, JobTimedOut, Running, error_line


@pytest.fixture
def children():
    started = Children()
    yield started
    started.close()


def run_of(children, tmp_path, code, timeout_s=20.0):
    log = tmp_path / "run.log"
    with log.open("wb") as output:
        child = children.start([sys.executable, "-c", code], env=dict(os.environ), output=output)
    (tmp_path / "scratch").mkdir()
    run = JobRun(job="ingest", run_id="jr_1", keys=Keys(access_key="a", secret_key="s"), script="s3://b/k", arguments={}, timeout_s=timeout_s)
    return Running(run=run, child=child, children=children, log=log, scratch=tmp_path / "scratch")


def test_the_error_is_the_tracebacks_own_line(tmp_path):
    """Not the last line Spark printed while it shut down, and not one that only looks like an error."""
    log = tmp_path / "run.log"
    log.write_text(
        "12:00 WARN Looks: like an error\nTraceback (most recent call last):\n"
        '  File "x.py", line 1, in <module>\n    raise StaleFence("…")\nshared.core.errors.StaleFence: fence 3 is not 4\n12:01 WARN Shutdown: bye\n'
    )

    assert "StaleFence: fence 3 is not 4" == error_line(log, 1)


def test_of_chained_errors_the_last_counts(tmp_path):
    """`raise … from`: the outer error is what the job says."""
    log = tmp_path / "run.log"
    trace = 'Traceback (most recent call last):\n  File "x.py", line 1\n'
    log.write_text(
        f"{trace}KeyError: 'a'\n\nThe above exception was the direct cause of the following exception:\n\n"
        f"{trace}shared.core.errors.BadState: mended\n"
    )

    assert "BadState: mended" == error_line(log, 1)


def test_an_error_in_java_is_told_with_what_java_said(tmp_path):
    """py4j's first line names only the call."""
    log = tmp_path / "run.log"
    log.write_text(
        'Traceback (most recent call last):\n  File "x.py", line 1\npy4j.protocol.Py4JJavaError: An error occurred while calling o1.save.\n'
        ": java.io.IOException: disk full\n\tat org.Some.where(Some.java:1)\n"
    )

    assert "Py4JJavaError: java.io.IOException: disk full" == error_line(log, 1)


def test_an_indented_line_of_a_log_does_not_make_an_error(tmp_path):
    """Only what a traceback ends with is the job's error."""
    log = tmp_path / "run.log"
    log.write_text("Traceback (most recent call last):\n  File \"x.py\", line 1\nKeyError: 'a'\nPlan:\n  Scan\nFilter: none\n")

    assert "KeyError: 'a'" == error_line(log, 1)


def test_a_silent_end_is_told_by_its_exit_code(tmp_path):
    """SIGKILL prints nothing."""
    log = tmp_path / "run.log"
    log.write_text("")

    assert "the process ended with exit code -9 and said nothing" == error_line(log, -9)


def test_a_failed_process_names_its_log(children, tmp_path):
    """The message is where the reader starts."""
    with pytest.raises(JobFailed, match=r"ValueError: three is no number \(log: .*run\.log\)"):
        run_of(children, tmp_path, "raise ValueError('three is no number')").wait()

    assert not (tmp_path / "scratch").exists()


def test_a_process_that_runs_too_long_is_killed(children, tmp_path):
    """Glue's Timeout holds on the laptop too."""
    running = run_of(children, tmp_path, "import time; time.sleep(60)", timeout_s=0.2)

    with pytest.raises(JobTimedOut, match="ingest ran longer than"):
        running.wait()

    assert start_time(running.child.pid) is None


def test_killing_a_run_kills_what_it_started(children, tmp_path):
    """The JVM starts Python and Python starts workers: all of them are the job."""
    code = (
        "import subprocess, sys, time; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True); time.sleep(60)"
    )
    running = run_of(children, tmp_path, code)
    grandchild = int(awaited(running.log))

    running.kill()

    gone(running.child.pid, grandchild)


def test_nothing_of_a_run_is_left_after_its_own_end(children, tmp_path):
    """A worker that outlives its driver would go on writing."""
    sleeping = "[sys.executable, '-c', 'import time; time.sleep(60)']"
    running = run_of(children, tmp_path, f"import subprocess, sys; print(subprocess.Popen({sleeping}).pid, flush=True)")
    grandchild = int(awaited(running.log))

    running.wait()

    gone(grandchild)


def test_when_the_owner_is_killed_the_reaper_ends_its_children(tmp_path):
    """SIGKILL of the laptop leaves no Spark and no PostgreSQL."""
    out = tmp_path / "pid"
    code = (
        "import os, sys, time\nfrom local.children import Children\n"
        "c = Children()\nchild = c.start([sys.executable, '-c', 'import time; time.sleep(60)'], env=dict(os.environ), output=-3)\n"
        f"open({str(out)!r}, 'w').write(str(child.pid))\ntime.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code])
    child = int(awaited(out))

    owner.kill()
    owner.wait()

    gone(child)


def awaited(path, timeout_s=10):
    deadline = time.monotonic() + timeout_s
    while not path.exists() or not path.read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return path.read_text()


def gone(*pids, timeout_s=10):
    deadline = time.monotonic() + timeout_s
    while any(start_time(pid) for pid in pids):
        assert time.monotonic() < deadline, "still running"
        time.sleep(0.02)
