"""One lake is run once and stopped; every test gets a copy of its state, so that a whole run is paid for once."""

import contextlib

import pytest

from local.laptop import Laptop, copy_state
from tests.flow.lake_reader import Lake

ORDERS = 300


@pytest.fixture(scope="session")
def first_run(tmp_path_factory):
    """A stopped laptop whose lake has had its first run, and how that run ended."""
    home = tmp_path_factory.mktemp("first") / "home"
    laptop = Laptop(home, orders=ORDERS)
    try:
        laptop.up()
        run, ended = Lake(laptop).run()
        laptop.down()
        yield home, run, ended
    finally:
        laptop.remove()


@pytest.fixture
def copied(first_run, tmp_path):
    """Opens copies of the lake after its first run; all of them go down with the test."""
    with contextlib.ExitStack() as opened:

        def open_copy(name="lake", **options):
            home = tmp_path / name
            copy_state(first_run[0], home)
            laptop = Laptop(home, **options)
            opened.callback(laptop.remove)
            laptop.up(deploys=False)
            return Lake(laptop)

        yield open_copy
