"""Ctrl-C, as a terminal sends it: the command ends at once with its own exit code, and nothing it started is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.flow.processes import processes_with

ROOT = Path(__file__).resolve().parents[2]


def listen_to_ctrl_c():
    """As in a terminal: what a shell starts in the background ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("moment", ["PostgreSQL and the emulator are up", "-> Ingest"])
def test_ctrl_c_leaves_nothing_running(tmp_path, moment):
    """While it deploys, and while a Spark job runs."""
    home, said = tmp_path / "home", tmp_path / "said.txt"
    command = [sys.executable, "-c", "from cli.main import main; main()", "--home", str(home), "demo"]
    with said.open("wb") as output:
        demo = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=listen_to_ctrl_c,
        )
    try:
        deadline = time.monotonic() + 240
        while moment not in said.read_text():
            assert demo.poll() is None, said.read_text()
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.2)

        os.killpg(demo.pid, signal.SIGINT)

        assert 130 == demo.wait(90), said.read_text()
        assert not processes_with(str(home))
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGKILL)
