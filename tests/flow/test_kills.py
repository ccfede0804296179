"""SIGKILL where it hurts: after the bronze commit and before its evidence, and in publish between a dimension's MERGE and its fact's."""

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


def assert_twins(lake: Lake, twin: Lake) -> None:
    for name in TABLES:
        assert twin.live(name) == lake.live(name), name


def test_killed_twice_a_lake_ends_equal_to_its_undisturbed_twin(copied):
    """Both lakes read one shop, which trades on in between; only one of them is killed."""
    lake = copied()
    twin = copied("twin", database=lake.laptop.status().database)
    lake.laptop.shop.trade(1, faults=True)

    killed_run(lake, "PUT", r"/_evidence/.*/ingest/bronze\.orders\.json")
    lake.laptop.shop.trade(1)
    run, ended = lake.run()
    assert "SUCCEEDED" == ended.status, ended
    assert_balanced(lake, run)
    assert "batch_reused" in _ingest_log(lake.laptop, run)
    assert "SUCCEEDED" == twin.run()[1].status
    assert_twins(lake, twin)

    lake.laptop.shop.trade(1)
    interrupted = killed_run(lake, "PUT", r"/gold/fact_sales/_delta_log/")
    assert lake.state.certified().tables["gold.dim_product"].version < lake.versions()["gold.dim_product"]
    lake.laptop.shop.trade(1)
    run, ended = lake.run()
    assert "SUCCEEDED" == ended.status, ended
    assert "passed" == lake.record(interrupted).status
    assert "SUCCEEDED" == twin.run()[1].status
    assert_twins(lake, twin)
    assert_gold_equals_the_source(lake)


def _ingest_log(laptop: Laptop, run: str) -> str:
    logs = (laptop.home / "logs" / "glue").glob("*-ingest/*.log")
    return "".join(text for log in logs if run in (text := log.read_text(encoding="utf-8", errors="replace")))
