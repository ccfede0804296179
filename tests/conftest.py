"""For every test: properties are judged by what they find, not by how busy the machine is. The longest begin first."""

from hypothesis import HealthCheck, settings

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# The first makes the lake that other flow tests copy; the other two need none.
_FIRST = ("test_kills", "test_second_lake", "test_incremental_equals_rebuild")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in _FIRST)
