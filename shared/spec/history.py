"""What compiler and engine must agree on about histories (`scd2`): own columns, the beginning of time, the unknown member, the invariants."""

from collections.abc import Mapping
from datetime import UTC, datetime

VALID_FROM, VALID_TO, IS_CURRENT = "valid_from", "valid_to", "is_current"
OWN_COLUMNS: Mapping[str, str] = {VALID_FROM: "timestamp", VALID_TO: "timestamp", IS_CURRENT: "boolean"}  # is_current may be left out
BEGINNING = datetime(1900, 1, 1, tzinfo=UTC)  # where a first version begins: several engines misread older instants
UNKNOWN_KEY = 0

# What the gate asks of every history, as the expectations of rules that no contract writes and no bypass lifts.
ONE_CURRENT = "history_one_current"  # at most one version of a thing has no end
NO_OVERLAP = "history_no_overlap"  # a version ends after it begins, and no later than the next one begins
NO_GAP = "history_no_gap_but_after_delete"  # a version ends where the next one begins, or where its log has a delete
NEIGHBOURS_DIFFER = "history_neighbours_differ"  # versions that meet differ in a tracked column
CURRENT_IS_OPEN = "history_current_is_open"  # is_current says that valid_to is NULL
UNKNOWN_MEMBER = "history_unknown_member"  # surrogate key 0 is there, once
INVARIANTS = (ONE_CURRENT, NO_OVERLAP, NO_GAP, NEIGHBOURS_DIFFER, CURRENT_IS_OPEN, UNKNOWN_MEMBER)

_STAND_INS = {
    **dict.fromkeys(("tinyint", "smallint", "int", "bigint", "float", "double"), "0"),
    "string": "unknown",
    "boolean": "false",
    "date": "1900-01-01",
    "timestamp": "1900-01-01 00:00:00",
    "timestamp_ntz": "1900-01-01 00:00:00",
}


def stand_in(spark_type: str) -> str | None:
    """What the unknown member holds in a required column, as text to cast (in UTC); None when nothing can stand in. Other columns hold NULL."""
    return "0" if spark_type.startswith("decimal") else _STAND_INS.get(spark_type)
