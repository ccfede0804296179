"""Which processes of this machine speak of something in their command line, or write into it."""

import contextlib
import os

from local.children import start_time


def processes_with(text):
    found = []
    for folder in os.listdir("/proc"):
        if folder.isdigit() and int(folder) != os.getpid() and start_time(int(folder)):
            try:
                with open(f"/proc/{folder}/cmdline") as file:
                    command = file.read().replace("\0", " ")
            except OSError:
                continue
            with contextlib.suppress(OSError):
                command += f" > {os.readlink(f'/proc/{folder}/fd/1')}"
            if text in command:
                found.append(command)
    return found
