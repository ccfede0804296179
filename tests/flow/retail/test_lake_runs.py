"""Whole runs of the retail lake by the deployed template: pass, nothing new, a source that is down, a blocked table, an edited definition."""

from tests.flow.lake_reader import assert_balanced, assert_gold_equals_the_source, assert_rejects_are_the_faults
from tests.flow.retail.sales import sales_lake


def rings(lake):
    """The alarms that ring: through the deployed Lambdas' own logs."""
    alarms = lake.laptop.client("cloudwatch").describe_alarms(StateValue="ALARM", MaxRecords=100)["MetricAlarms"]
    return {alarm["AlarmName"].removeprefix("sluice-local-") for alarm in alarms}


def test_the_first_run_brings_the_shop_into_gold(first_run, lake):
    """Everything that was at the source is in the lake, counted, certified, and equal to what another engine computes."""
    _, run, ended = first_run

    record = lake.record(run)

    assert ("SUCCEEDED", "passed") == (ended.status, record.status)
    assert_balanced(lake, run)
    assert_gold_equals_the_source(lake)
    assert {"ingest": 1, "refine": 1, "stage": 1, "publish": 1} == lake.jobs_started(run)
    report = lake.document(f"_runs/{run}/report.json")
    assert "passed" == report["status"]


def test_a_source_that_is_down_fails_the_run_and_nothing_is_held(lake):
    """Retried, then failed with a name; what was certified stays, the lock is free, an alarm rings, and the job's driver takes the next one."""
    drivers = set(lake.laptop.home.glob("logs/glue/driver-*.log"))
    before = lake.state.certified().tables
    secrets, name = lake.laptop.client("secretsmanager"), lake.laptop.environment().secrets.servers["shop"]
    good = secrets.get_secret_value(SecretId=name)["SecretString"]
    port = lake.laptop.status().database.port
    secrets.put_secret_value(SecretId=name, SecretString=good.replace(str(port), "1"))

    try:
        run, ended = lake.run(tables=["silver.orders"])
    finally:
        secrets.put_secret_value(SecretId=name, SecretString=good)

    assert ("FAILED", "failed") == (ended.status, lake.record(run).status)
    assert "SourceUnavailable" in ended.cause
    assert {"run-failed"} <= rings(lake)
    assert not rings(lake) & {"dq-bronze.products", "blocked-bronze.products", "blocked-gold.dim_product"}
    assert lake.state.lock().run is None
    assert before == lake.state.certified().tables
    assert drivers == set(lake.laptop.home.glob("logs/glue/driver-*.log"))


def test_a_day_of_trade_with_faults_late_commits_and_a_blocked_table_and_then_nothing_new(lake):
    """Products break by the dozen: their star waits, the rest goes on, and the next run catches up. Planted faults are the rejects, row for row; a
    late commit is not lost; a further run finds nothing and touches nothing."""
    shop = lake.laptop.shop
    with shop.late_commit() as late:
        shop.trade(1, faults=True)
        _, ended = lake.run(tables=["silver.orders"])
        assert "SUCCEEDED" == ended.status, ended
    assert not set(late) & {row["order_id"] for row in lake.rows("bronze.orders")}
    before = lake.state.certified().tables
    nine_times = "from sales.products, generate_series(1, 9)"
    lake.execute(f"insert into sales.products select 'broken', title, category, price, currency, false, now() {nine_times}")

    run, ended = lake.run()

    assert ("FAILED", "TablesBlocked") == (ended.status, ended.error)
    assert "bronze.products" in ended.cause
    assert "blocked" == lake.record(run).status
    assert {"dq-bronze.products", "blocked-bronze.products", "blocked-gold.dim_product"} <= rings(lake)
    assert not rings(lake) & {"dq-bronze.orders", "blocked-silver.orders", "dq-gold.dim_product"}
    after = lake.state.certified().tables
    assert before["gold.dim_product"] == after["gold.dim_product"]
    assert before["gold.fact_sales"] == after["gold.fact_sales"]
    assert before["silver.orders"].version < after["silver.orders"].version
    assert lake.versions()["gold.dim_product"] == before["gold.dim_product"].version
    assert set(late) <= {row["order_id"] for row in lake.lanes("bronze.orders", "accepted")}

    lake.execute("delete from sales.products where product_id = 'broken'")
    run, ended = lake.run()

    assert "SUCCEEDED" == ended.status, ended
    assert lake.document(f"_runs/{run}/report.json")["cost"]["jobs"] >= 2
    assert_balanced(lake, run)
    assert_gold_equals_the_source(lake)
    assert_rejects_are_the_faults(lake, run)
    ids = [row["_row_id"] for row in lake.lanes("bronze.orders", "accepted")]
    assert len(ids) == len(set(ids))

    versions = lake.versions()
    run, ended = lake.run()

    assert "SUCCEEDED" == ended.status, ended
    assert versions == lake.versions()
    assert {"ingest": 1} == lake.jobs_started(run)
    assert sum(counts["seen"] for counts in lake.record(run).counts["ingest"].values()) > 0


def test_an_edited_definition_rebuilds_its_table_and_a_second_run_is_refused_meanwhile(lake, tmp_path):
    """The SQL alone changed (and the fact's, in `sales_lake`), and tables left the lake: the table is computed again for every key; while that run
    holds the lake, another is told."""
    edited = sales_lake(tmp_path / "edited")
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
