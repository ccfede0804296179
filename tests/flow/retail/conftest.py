"""One laptop for all tests of this folder, in the order of their files: each goes on with the lake as the one before left it, so that a first run
is paid for once, and Spark is warm. Each would do as well with the lake after its first run."""

import pytest

from tests.flow.few_days import lake_of_few_days


@pytest.fixture(scope="package")
def first_run(tmp_path_factory):
    """The lake after its first run, the run, and how that ended."""
    with lake_of_few_days(tmp_path_factory.mktemp("retail") / "home") as lake:
        run, ended = lake.run()
        yield lake, run, ended


@pytest.fixture(scope="package")
def lake(first_run):
    return first_run[0]
