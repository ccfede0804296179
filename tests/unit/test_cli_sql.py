"""`sluice sql`: certified versions only, SELECT only, and the same names on the laptop and on AWS."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pandas
import pyarrow as pa
import pytest
import sqlglot
from deltalake import DeltaTable, write_deltalake

from cli.athena import Athena, rewritten
from cli.duck import Duck
from cli.errors import CommandError, Misused
from cli.queries import Answer, resolve
from shared.core.messages import Certified, Entry, Progress
from tests.fakes import FakeState, World
from tests.machine import small_lake
from tests.unit.cli_desk import ENVIRONMENT, FakeDesk

LAKE = small_lake()
AT = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


def state_with(**versions):
    state = FakeState(World())
    entries = {name.replace("_", ".", 1): Entry(version=version, definition_hash="", consumed={}) for name, version in versions.items()}
    state._certified = Certified(run="run-1", tables=entries)
    return state


@pytest.fixture
def delta(tmp_path):
    """A lake on disk: silver.orders at versions 0 and 1, with a tombstone; bronze.orders with two batches."""
    for keys in (["O1"], ["O2", "O3"]):
        rows = pa.table({"_deleted": [key == "O3" for key in keys], "id": keys, "at": pa.array([AT] * len(keys), pa.timestamp("us", tz="UTC"))})
        write_deltalake(tmp_path / "silver" / "orders", rows, mode="append")
    batches = pa.table({"_batch_id": ["bronze.orders-0000000001", "bronze.orders-0000000002"], "id": ["O1", "O2"]})
    write_deltalake(tmp_path / "bronze" / "orders", batches)
    return tmp_path


def ask(delta, text, state):
    return Duck(str(delta), {}).run(resolve(text, lake=LAKE, state=state, dialect="duckdb"))


def test_a_table_is_read_at_its_certified_version(delta):
    """What a run is writing right now is not there for anybody."""
    before = ask(delta, "select id from silver.orders", state_with(silver_orders=0))
    after = ask(delta, "select id from silver.orders order by id", state_with(silver_orders=1))

    assert [("O1",)] == list(before.rows)
    assert [("O1",), ("O2",)] == list(after.rows)


def test_tombstones_and_their_column_are_left_out(delta):
    """A row that the source deleted is gone for readers."""
    answer = ask(delta, "select * from silver.orders", state_with(silver_orders=1))

    assert ("id", "at") == answer.columns
    assert "O3" not in [row[0] for row in answer.rows]


def test_bronze_is_read_up_to_its_last_committed_batch(delta):
    """A halted batch is in the table already, and in no certified answer."""
    state = state_with(bronze_orders=0)
    state._progress["bronze.orders"] = Progress(position=AT, seq=1)

    assert [("O1",)] == list(ask(delta, "select id from bronze.orders", state).rows)


@pytest.fixture
def widened(tmp_path):
    """bronze.orders, written with an int and a decimal that were widened since by Delta's own feature; its files are as they were."""
    columns = {"n": pa.array([1, 2], pa.int32()), "amount": pa.array([Decimal("1.20"), None], pa.decimal128(12, 2))}
    rows = pa.table({"_lane": ["accepted", "rejected"], "_batch_id": ["bronze.orders-0000000001"] * 2, "id": ["O1", "O2"], **columns})
    write_deltalake(tmp_path / "bronze" / "orders", rows, partition_by=["_lane"])
    log = tmp_path / "bronze" / "orders" / "_delta_log"
    metadata = next(json.loads(line) for line in (log / f"{0:020d}.json").read_text().splitlines() if "metaData" in line)
    schema = json.loads(metadata["metaData"]["schemaString"])
    for field in schema["fields"]:
        field["type"] = {"n": "long", "amount": "decimal(14,2)"}.get(field["name"], field["type"])
    metadata["metaData"]["schemaString"] = json.dumps(schema)

    def with_features(*features):
        protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}
        (log / f"{1:020d}.json").write_text(f"{json.dumps(metadata)}\n{json.dumps({'protocol': protocol})}\n")
        state = state_with(bronze_orders=1)
        state._progress["bronze.orders"] = Progress(position=AT, seq=1)
        return state

    return tmp_path, with_features


def test_a_bronze_table_with_a_widened_column_is_read_in_the_wider_type(widened):
    """deltalake's reader does not know Delta's type widening; rejects are there and nowhere else."""
    root, with_features = widened

    answer = ask(root, "select id, _lane, n + 3000000000, amount from bronze.orders order by id", with_features("typeWidening"))

    assert [("O1", "accepted", 3000000001, Decimal("1.20")), ("O2", "rejected", 3000000002, None)] == list(answer.rows)


def test_a_table_with_a_feature_that_its_files_do_not_show_is_refused_by_the_features_name(widened):
    """Rows that are deleted there would be in the answer."""
    root, with_features = widened

    with pytest.raises(CommandError, match=r"bronze\.orders: .*deletionVectors"):
        ask(root, "select id from bronze.orders", with_features("typeWidening", "deletionVectors"))


def test_instants_are_utc_and_tables_may_be_joined_and_aliased(delta):
    """The usual SELECT, with WITH and a join."""
    text = "with mine as (select s.id, s.at from silver.orders s) select a.id, a.at from mine a join SILVER.Orders b using (id) where a.id = 'O1'"

    assert ("O1", AT) == ask(delta, text, state_with(silver_orders=1)).rows[0]


def test_asking_writes_nothing(delta):
    """delta-rs must never commit where Spark does."""
    ask(delta, "select count(*) from silver.orders", state_with(silver_orders=0))

    assert 1 == DeltaTable(delta / "silver" / "orders").version()


@pytest.mark.parametrize(
    "text",
    ["select * from read_csv('/etc/passwd')", "select * from silver.orders where id = (select content from read_text('/etc/passwd'))"],
)
def test_nothing_but_the_lake_can_be_read(delta, text):
    """The engine may read files; the query may not."""
    with pytest.raises(CommandError, match=r"disabled|not exist"):
        ask(delta, text, state_with(silver_orders=1))


def test_the_engines_own_refusal_is_told(delta):
    """A misspelt column is the engine's to name."""
    with pytest.raises(CommandError, match="idd"):
        ask(delta, "select idd from silver.orders", state_with(silver_orders=1))


@pytest.mark.parametrize(
    "text",
    [
        "delete from silver.orders",
        "insert into silver.orders values (1)",
        "create table x as select 1",
        "drop table silver.orders",
        "update silver.orders set id = 1",
        "merge into silver.orders using silver.orders on true when matched then delete",
        "copy silver.orders to '/tmp/x'",
        "attach '/tmp/x'",
        "set threads = 1",
        "pragma version",
        "select 1; select 2",
        "",
    ],
)
def test_anything_but_one_select_is_refused(text):
    """Tables are written by runs alone."""
    with pytest.raises(Misused, match=r"only SELECT|one statement|not SQL"):
        resolve(text, lake=LAKE, state=state_with(silver_orders=1), dialect="duckdb")


def test_broken_sql_is_refused_with_its_place():
    """Line and column, not a traceback."""
    with pytest.raises(Misused, match=r"line 1, column \d+"):
        resolve("select from where", lake=LAKE, state=state_with(), dialect="duckdb")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("silver.ordrs", "Did you mean silver.orders"), ("fact_sales", "Did you mean gold.fact_sales"), ("x.y", "There are bronze.orders")],
)
def test_an_unknown_table_is_refused_with_those_there_are(name, hint):
    """Nearest name first."""
    with pytest.raises(Misused, match=hint):
        resolve(f"select 1 from {name}", lake=LAKE, state=state_with(silver_orders=1), dialect="duckdb")


def test_a_table_that_no_run_committed_is_refused():
    """There is no certified version to read."""
    with pytest.raises(Misused, match=r"gold.fact_sales is not certified yet.*Certified are silver.orders"):
        resolve("select 1 from gold.fact_sales", lake=LAKE, state=state_with(silver_orders=1), dialect="duckdb")


# ---- AWS


def in_athena(text, *, names=("silver_orders", "gold_fact_sales", "gold_dim_product")):
    return rewritten(resolve(text, lake=LAKE, state=state_with(**dict.fromkeys(names, 1)), dialect="athena"), ENVIRONMENT)


def test_on_aws_layers_become_databases_and_tombstones_are_left_out():
    """The same query, in Athena's words."""
    sql = in_athena("select orders.id, f.id from silver.orders join gold.fact_sales f on f.id = silver.orders.id")

    assert '(SELECT id FROM "sluice_local_silver"."orders" WHERE NOT _deleted) AS "orders"'.replace('"', "") in sql.replace('"', "")
    assert "sluice_local_gold.fact_sales AS f" in sql.replace('"', "")
    assert "f.id = orders.id" in sql.replace('"', "")
    assert not [node for node in sqlglot.parse_one(sql, read="athena").find_all(sqlglot.exp.Table) if node.db == "silver"]


def test_on_aws_a_with_name_stays_itself():
    """Only the lake's tables are rewritten."""
    sql = in_athena("with orders as (select 1 as id) select * from orders")

    assert "sluice_local" not in sql


def test_on_aws_bronze_is_refused():
    """It holds rejected rows and is in no catalogue."""
    with pytest.raises(Misused, match="not in the catalogue"):
        in_athena("select 1 from bronze.orders", names=("bronze_orders",))


class Log:
    """ports.DeltaLog whose tables are all at one version."""

    def __init__(self, latest):
        self._latest = latest

    def latest(self, path):
        return self._latest


@pytest.mark.parametrize(("latest", "notes"), [(1, 0), (2, 1)])
def test_on_aws_a_note_says_when_the_version_read_is_not_the_certified_one(latest, notes):
    """Athena has no time travel on Delta: the difference is told, not hidden."""
    frame = pandas.DataFrame({"n": [1, None], "amount": [Decimal("1.50"), None]}).convert_dtypes(dtype_backend="pyarrow")
    engine = Athena(ENVIRONMENT, Log(latest), reader=lambda _sql: frame)

    answer = engine.run(resolve("select n, amount from gold.fact_sales", lake=LAKE, state=state_with(gold_fact_sales=1), dialect="athena"))

    assert ((1, Decimal("1.50")), (None, None)) == answer.rows
    assert notes == len(answer.notes)


# ---- the command


@pytest.fixture
def desk(tmp_path):
    return FakeDesk(tmp_path)


def test_rows_are_printed_as_table_json_or_csv(desk):
    """NULL stays NULL in each."""
    assert [{"id": 1, "at": "2026-01-01T00:00:00Z"}, {"id": None, "at": "2026-01-02T00:00:00Z"}] == desk.json("sql", "select 1")
    assert "id,at\n1,2026-01-01 00:00:00\n,2026-01-02 00:00:00\n" == desk.sluice("sql", "select 1", "--csv").stdout
    assert "2 rows" in desk.sluice("sql", "select 1").stdout


def test_notes_go_to_stderr(desk):
    """A pipe gets rows alone."""
    assert "a note" in desk.sluice("sql", "select 1", "--json").stderr


def test_keys_are_shown_without_separators(desk):
    """20,260,131 is no date."""
    desk.engine.answer = Answer(columns=("date_sk",), rows=((20260131,),), notes=())

    assert "20260131" in desk.sluice("sql", "select 1").stdout


def test_json_and_csv_at_once_are_refused(desk):
    """One or the other."""
    assert 2 == desk.sluice("sql", "select 1", "--json", "--csv").exit_code


def test_a_refused_query_exits_2(desk):
    """Wrong use, not a failure."""
    assert 2 == desk.sluice("sql", "drop table x").exit_code
