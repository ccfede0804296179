"""What the workers of one test session share: a folder each can find, and a lock, so that what is dear is made once, by whoever comes first."""

import contextlib
import fcntl
import os


def shared_folder(tmp_path_factory, name):
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    folder.mkdir(exist_ok=True)
    return folder


@contextlib.contextmanager
def alone(folder):
    """While this is held, no other worker is in the block for that folder."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
