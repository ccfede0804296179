"""Whole runs of the retail lake by the deployed template: pass, nothing new, an edited definition, a source that is down, a
blocked table; ended where it hurts: after a bronze commit, between a dimension's MERGE and its fact's, all at once."""

import shutil
from pathlib import Path

from local.laptop import Laptop
from tests.flow.lake_reader import Lake, assert_balanced, assert_gold_equals_the_source

TABLES = ("silver.orders", "silver.customers", "silver.products", "silver.fx_rates", "gold.dim_product", "gold.fact_sales", "gold.dim_date")
LAKE = Path(__file__).resolve().parents[2] / "lake"


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


def test_a_day_of_trade_with_faults_late_commits_and_then_nothing_new(copied):
    """Planted faults are the rejects, row for row; a late commit is not lost; a second run finds nothing and touches nothing."""
    lake = copied()
    shop = lake.laptop.shop
    with shop.late_commit() as late:
        shop.trade(1, faults=True)
        run, ended = lake.run()
        assert "SUCCEEDED" == ended.status, ended
        assert_balanced(lake, run)
    assert not set(late) & {row["order_id"] for row in lake.rows("bronze.orders")}

    run, ended = lake.run()

    assert "SUCCEEDED" == ended.status, ended
    assert set(late) <= {row["order_id"] for row in lake.lanes("bronze.orders", "accepted")}
    assert_balanced(lake, run)
    assert_gold_equals_the_source(lake)
    planted = sorted((fault["reason"], str(fault["order_id"])) for fault in shop.ledger())
    rejected = sorted((reason, str(row["order_id"])) for row in lake.lanes("bronze.orders", "rejected") for reason in row["_reasons"])
    assert planted == rejected
    ids = [row["_row_id"] for row in lake.lanes("bronze.orders", "accepted")]
    assert len(ids) == len(set(ids))

    versions = lake.versions()
    run, ended = lake.run()

    assert "SUCCEEDED" == ended.status, ended
    assert versions == lake.versions()
    assert {"ingest": 1} == lake.jobs_started(run)
    assert sum(counts["seen"] for counts in lake.record(run).counts["ingest"].values()) > 0


def test_an_edited_definition_rebuilds_its_table_and_a_second_run_is_refused_meanwhile(copied, tmp_path):
    """The SQL alone changed: the table is computed again for every key. While that run holds the lake, another is told so."""
    lake = copied()
    edited = tmp_path / "edited"
    shutil.copytree(LAKE, edited)
    sql = edited / "gold" / "dim_product.sql"
    sql.write_text(sql.read_text().replace("p.title", "upper(p.title) AS title").replace("'Unknown product'", "'UNKNOWN PRODUCT'"))
    before = {row["product_id"]: row for row in lake.rows("gold.dim_product")}
    lake.laptop.lake = edited
    lake.laptop.deploy()

    with lake.laptop.hold("PUT", r"/gold/dim_product/_delta_log/") as held:
        first = lake.laptop.start_run()
        held.wait(timeout_s=200)
        second, refused = lake.run()
        held.release()
    ended = lake.laptop.wait(first, timeout_s=300)

    assert "FAILED" == refused.status
    assert f"held by run {first}" in refused.cause
    assert "SUCCEEDED" == ended.status, ended
    after = {row["product_id"]: row for row in lake.rows("gold.dim_product")}
    assert {key: row["title"].upper() for key, row in before.items()} == {key: row["title"] for key, row in after.items()}
    assert {key: row["product_sk"] for key, row in before.items()} == {key: row["product_sk"] for key, row in after.items()}
    assert {"ingest": 1, "stage": 1, "publish": 1} == lake.jobs_started(first)


def test_a_source_that_is_down_then_a_blocked_table_and_the_next_run_catches_up(copied):
    """Down: retried, then failed with a name, and nothing is held. Products break by the dozen: their star waits, orders go on, nothing is lost."""
    lake = copied()
    before = lake.state.certified().tables
    lake.laptop.shop.trade(1)
    secrets, name = lake.laptop.client("secretsmanager"), lake.laptop.environment().secrets.servers["shop"]
    good = secrets.get_secret_value(SecretId=name)["SecretString"]
    port = lake.laptop.status().database.port
    secrets.put_secret_value(SecretId=name, SecretString=good.replace(str(port), "1"))

    run, ended = lake.run()

    assert ("FAILED", "failed") == (ended.status, lake.record(run).status)
    assert "SourceUnavailable" in ended.cause
    assert lake.state.lock().run is None
    assert before == lake.state.certified().tables
    secrets.put_secret_value(SecretId=name, SecretString=good)
    nine_times = "from sales.products, generate_series(1, 9)"
    lake.execute(f"insert into sales.products select 'broken', title, category, price, currency, false, now() {nine_times}")

    run, ended = lake.run()

    assert ("FAILED", "TablesBlocked") == (ended.status, ended.error)
    assert "bronze.products" in ended.cause
    assert "blocked" == lake.record(run).status
    after = lake.state.certified().tables
    assert before["gold.dim_product"] == after["gold.dim_product"]
    assert before["gold.fact_sales"] == after["gold.fact_sales"]
    assert before["silver.orders"].version < after["silver.orders"].version
    assert lake.versions()["gold.dim_product"] == before["gold.dim_product"].version

    lake.execute("delete from sales.products where product_id = 'broken'")
    run, ended = lake.run()

    assert "SUCCEEDED" == ended.status, ended
    assert_balanced(lake, run)
    assert_gold_equals_the_source(lake)
