"""How two workers share the tests: what shares something expensive (a lake after its first run, a Spark session) stays together."""

from pathlib import Path

import pytest

TOGETHER = {"test_kills.py": "lake", "test_lake_runs.py": "lake"}


def pytest_itemcollected(item):
    path = Path(item.path)
    alone = path.parent.name if path.parent.name == "spark" else path.name
    item.add_marker(pytest.mark.xdist_group(TOGETHER.get(path.name, alone)))
