"""Ended where it hurts: after the bronze commit and before its evidence, in publish between a dimension's MERGE and its fact's, all at once."""

from local.laptop import Laptop
from tests.flow.lake_reader import Lake, assert_balanced, assert_gold_equals_the_source

TABLES = ("silver.orders", "silver.customers", "silver.products", "silver.fx_rates", "gold.dim_product", "gold.fact_sales", "gold.dim_date")


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


def test_killed_twice_and_taken_down_a_lake_ends_equal_to_its_undisturbed_twin(copied):
    """Both lakes read one shop, which trades on in between; only one of them is disturbed, and new runs mend what each end left."""
    lake = copied()
    shop = lake.laptop.shop
    shop.trade(1, faults=True)

    killed_run(lake, "PUT", r"/_evidence/.*/ingest/bronze\.orders\.json")
    shop.trade(1)
    interrupted = killed_run(lake, "PUT", r"/gold/fact_sales/_delta_log/")
    assert "batch_reused" in _ingest_log(lake.laptop, interrupted)
    assert lake.state.certified().tables["gold.dim_product"].version < lake.versions()["gold.dim_product"]
    shop.trade(1)
    with lake.laptop.hold("PUT", r"/_evidence/.*/ingest/bronze\.orders\.json") as held:
        cut_short = lake.laptop.start_run()
        held.wait(timeout_s=300)
        lake.laptop.down()
    lake.laptop.up(deploys=False)
    run, ended = lake.run()

    assert "SUCCEEDED" == ended.status, ended
    assert "failed" == lake.record(cut_short).status
    assert "passed" == lake.record(interrupted).status
    assert_balanced(lake, run)
    twin = copied("twin", database=lake.laptop.status().database)
    assert "SUCCEEDED" == twin.run()[1].status
    for name in TABLES:
        assert twin.live(name) == lake.live(name), name
    assert_gold_equals_the_source(lake)


def _ingest_log(laptop: Laptop, run: str) -> str:
    logs = (laptop.home / "logs" / "glue").glob("*-ingest/*.log")
    return "".join(text for log in logs if run in (text := log.read_text(encoding="utf-8", errors="replace")))
