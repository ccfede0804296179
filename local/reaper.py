"""Ends process groups whose owner died: reads `+group` and `-group` lines, and when the input ends kills every group not taken back.

Runs alone (`python -I reaper.py`), standard library only. A clean owner has taken everything back before it closes the pipe.
"""

import os
import signal
import sys


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


main()
