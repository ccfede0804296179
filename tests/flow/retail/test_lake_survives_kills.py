"""Whole runs ended where it hurts: after a bronze commit, between a dimension's MERGE and its fact's. New runs mend it."""

from pathlib import Path

from compiler import compile_lake
from local.laptop import Laptop
from tests.flow.lake_reader import Lake, assert_balanced, assert_rejects_are_the_faults, assert_sales_equal_the_source
from tests.flow.retail.sales import TWIN, sales_lake


def killed_run(lake: Lake, method: str, path: str) -> str:
    """A run whose job processes are killed while one request waits before the emulator has seen it."""
    with lake.laptop.hold(method, path) as held:
        run = lake.laptop.start_run()
        held.wait(timeout_s=300)
        assert lake.laptop.kill_jobs()
        held.release()
    assert "FAILED" == lake.laptop.wait(run, timeout_s=120).status
    assert "failed" == lake.record(run).status
    return run


def test_a_lake_whose_jobs_are_killed_ends_equal_to_its_undisturbed_twin(lake, tmp_path):
    """Both lakes read one shop, which trades on in between; only one of them is disturbed, twice. What the first kill lost or doubled would show
    after the second too: the run that is killed in publish has taken over from the one that was killed in ingest. The twin, another environment
    of the same lake, reads all in the end, in one run."""
    lake.laptop.lake = sales_lake(tmp_path / "sales")
    lake.laptop.deploy()
    shop = lake.laptop.shop
    earlier = ingest_logs(lake.laptop)
    shop.trade(1, faults=True)
    killed_run(lake, "PUT", r"/_evidence/.*/ingest/bronze\.orders\.json")
    shop.trade(1)
    interrupted = killed_run(lake, "PUT", r"/gold/fact_sales/_delta_log/")
    assert any("batch_reused" in log.read_text(errors="replace") for log in ingest_logs(lake.laptop) - earlier)
    assert lake.state.certified().tables["gold.dim_product"].version < lake.versions()["gold.dim_product"]
    shop.trade(1, faults=True)

    run, ended = lake.run()

    assert "SUCCEEDED" == ended.status, ended
    assert "passed" == lake.record(interrupted).status
    assert_balanced(lake, run)
    assert_rejects_are_the_faults(lake, run)
    assert_sales_equal_the_source(lake, amount="o.amount")
    twin = Lake(Laptop(lake.laptop.home, lake.laptop.lake, environment=TWIN))
    twin.laptop.deploy()
    assert "SUCCEEDED" == twin.run()[1].status
    assert {table.name for table in compile_lake(lake.laptop.lake).tables} == set(twin.state.certified().tables)
    for name in twin.state.certified().tables:
        assert name.startswith("bronze.") or twin.live(name) == lake.live(name), name


def ingest_logs(laptop: Laptop) -> set[Path]:
    return set(laptop.home.glob("logs/glue/*-ingest/*.log"))
