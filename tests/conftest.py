"""For every test: properties are judged by what they find, not by how busy the machine is; what is dear is made once; the longest begins first."""

import os

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# The tests of each share a laptop or a Spark session, and so one worker.
_TOGETHER = ("tests/flow/retail/", "tests/spark/")
_FIRST = (*_TOGETHER, "tests/flow/test_second_lake")
# The other workers give way to the longest chain, or two cores would wait for it at the end.
_LONGEST = "tests/spark/"
_BEGUN_AT, _LESS_BY = os.nice(0), 5


class ByFileOrFolder(LoadFileScheduling):
    """A worker takes a file at a time, or a folder whose tests belong together, whatever `--dist` says."""

    def _split_scope(self, nodeid):
        return next((folder for folder in _TOGETHER if nodeid.startswith(folder)), super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return ByFileOrFolder(config, log)


def pytest_runtest_setup(item):
    if hasattr(item.config, "workerinput") and not item.nodeid.startswith(_LONGEST) and os.nice(0) == _BEGUN_AT:
        os.nice(_LESS_BY)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: next((place for place, start in enumerate(_FIRST) if item.nodeid.startswith(start)), len(_FIRST)))
