"""Whole runs of the retail lake by the deployed template."""

from tests.flow.lake_reader import assert_balanced, assert_gold_equals_the_source


def test_the_first_run_brings_the_shop_into_gold(first_run, copied):
    """Everything that was at the source is in the lake, counted, certified, and equal to what another engine computes."""
    _, run, ended = first_run
    lake = copied()

    record = lake.record(run)

    assert ("SUCCEEDED", "passed") == (ended.status, record.status)
    assert_balanced(lake, run)
    assert_gold_equals_the_source(lake)
    assert {"ingest": 1, "refine": 1, "stage": 1, "publish": 1} == lake.jobs_started(run)
    report = lake.document(f"_runs/{run}/report.json")
    assert "passed" == report["status"]
