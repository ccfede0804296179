"""One lake is run once and stopped; every test gets a copy of its state, so that a whole run is paid for once, by whichever worker comes first."""

import contextlib
import json
from pathlib import Path

import pytest

from local.laptop import Laptop, copy_state
from tests.flow.lake_reader import Lake
from tests.workers import alone, shared_folder

DAYS, ORDERS = 6, 240  # facts lie in a partition a day


@pytest.fixture(scope="session")
def first_run(tmp_path_factory):
    """A stopped laptop whose lake has had its first run: its home, the run, and how that ended."""
    shared = shared_folder(tmp_path_factory, "first")
    home, told, users = shared / "home", shared / "told.json", shared / "users"
    with alone(shared):
        if not told.exists():
            told.write_text(json.dumps(_ran(home)))
        users.write_text(str(_count(users) + 1))
    run, status = json.loads(told.read_text())
    yield home, run, status
    with alone(shared):
        users.write_text(str(_count(users) - 1))
        if not _count(users):
            told.unlink()
            Laptop(home).remove()


@pytest.fixture(scope="session")
def copy_of(first_run):
    """Opens a copy of the lake after its first run on a laptop of its own; one that is given another `lake` deploys it."""

    def opened(stack, home, **options):
        copy_state(first_run[0], home)
        laptop = Laptop(home, **options)
        stack.callback(laptop.remove)
        laptop.up(deploys="lake" in options)
        return Lake(laptop)

    return opened


@pytest.fixture
def copied(copy_of, tmp_path):
    """Opens copies of the lake after its first run; all of them go down with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda name="lake", **options: copy_of(stack, tmp_path / name, **options)


def _ran(home: Path):
    laptop = Laptop(home, orders=None)
    try:
        laptop.up()
        laptop.shop.fill(days=DAYS, orders=ORDERS)
        run, ended = Lake(laptop).run()
        laptop.down()
    except BaseException:
        laptop.remove()
        raise
    return run, ended.status


def _count(users: Path):
    return int(users.read_text()) if users.exists() else 0
