"""`sluice add` on a real PostgreSQL: the demo shop's tables against the contracts that people wrote for them; a catalogue; no row's value."""

import re
import shutil
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.add_source import Login, describe
from cli.errors import CommandError
from cli.main import app
from compiler import compile_lake
from local.children import Children
from local.postgres import Postgres, remove_database
from local.shop import Shop

PEOPLE = """
create domain sales.percent as numeric(5,2) not null;
create type sales.mood as enum ('fine', 'it''s bad');
create table sales.people (
  id bigint generated always as identity, person integer not null, mood sales.mood, part sales.percent, "Odd" text, contact varchar(80),
  gone int, status text check (status in ('on', 'off')), changed timestamptz not null, seen timestamptz,
  primary key (person, id), unique (contact), check (gone >= 0), check (lower(contact) = contact));
alter table sales.people drop column gone;
create index on sales.people (seen);
create index on sales.people (lower(contact));
comment on table sales.people is 'Who we know';
comment on column sales.people.part is 'of the whole';
create table sales.stock (product_id text, depot text, pieces int, updated_at timestamptz);
create index on sales.stock (updated_at);
create view sales.seen_people as select person, seen from sales.people;
"""
MARK = "Zaphod Beeblebrox"


@pytest.fixture(scope="module")
def shop():
    """The demo shop, filled, and a table with everything a catalogue can say."""
    home = Path(tempfile.mkdtemp(prefix="sluice-add-"))
    home.chmod(0o755)
    children = Children()
    server = Postgres(home, children)
    database = server.start()
    try:
        Shop(database, ledger=home / "ledger.json", put=len).fill(days=3, orders=150)
        with database.connect() as connection:
            connection.execute(PEOPLE)
            row = (1, f"{MARK.lower()}@example.com", MARK, "on")
            connection.execute('insert into sales.people (person, contact, "Odd", status, changed, part) values (%s, %s, %s, %s, now(), 1)', row)
            connection.execute(f"grant select on sales.people, sales.stock to {database.reader}")
        yield home, database
    finally:
        server.stop()
        remove_database(home)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def add(shop, tmp_path):
    """The command on a lake of bronze alone, with the reader's own credentials."""
    _, database = shop
    home, lake = tmp_path / "home", tmp_path / "lake"
    home.mkdir()
    values = (
        f'username = "{database.reader}"\npassword = "{database.reader_password}"\nhost = "127.0.0.1"\nport = {database.port}\ndatabase = "shop"\n'
    )
    (home / "secrets.toml").write_text(f"[servers.shop]\n{values}")
    shutil.copytree("lake/bronze", lake / "bronze")
    shutil.copy("lake/environments.toml", lake)
    return lambda *arguments: (lake, CliRunner().invoke(app, ["--lake", str(lake), "--home", str(home), "add", "shop", *arguments]))


def login(database, **changes):
    known = {
        "host": database.host,
        "port": database.port,
        "database": database.name,
        "username": database.reader,
        "password": database.reader_password,
    }
    return Login(**{**known, **changes})


def test_the_drafts_of_the_demo_shop_are_what_people_wrote_but_for_their_rules(add):
    """The same masks, keys, watermarks and deletes. Types too, but where the shop keeps numbers as text: there the draft asks."""
    written, asked = compile_lake(Path("lake")), set()

    for table in ("orders", "customers", "products"):
        lake, ended = add(f"sales.{table}", "--name", f"drafted_{table}")
        assert 0 == ended.exit_code, ended.output
        asked |= set(re.findall(r"(\w+): is text at the source, and a sample holds numbers alone", ended.stderr))

    drafted = compile_lake(lake)
    assert {"quantity", "amount"} == asked
    for table in ("orders", "customers", "products"):
        for layer in ("bronze", "silver"):
            ours, theirs = drafted.table(f"{layer}.drafted_{table}"), written.table(f"{layer}.{table}")
            assert [c.name for c in theirs.columns] == [c.name for c in ours.columns if c.name != "shipping_address" or layer == "bronze"]
            for column in theirs.columns:
                other = ours.column(column.name)
                assert (column.mask, column.classification) == (other.mask, other.classification)
                assert column.type == other.type or column.name in asked
            assert (theirs.key, theirs.sequence, theirs.delete_when) == (ours.key, ours.sequence, ours.delete_when)
        ours, theirs = drafted.table(f"bronze.drafted_{table}").source, written.table(f"bronze.{table}").source
        assert (theirs.relation, theirs.watermark.column, theirs.servers) == (ours.relation, ours.watermark.column, ours.servers)


def test_a_table_without_a_key_is_drafted_as_far_as_it_goes(add):
    """Bronze compiles; silver waits for a decision, and the exit code says so. With a key it goes all the way."""
    lake, ended = add("sales.stock")

    assert 3 == ended.exit_code
    assert "name it with --key" in ended.stderr
    assert not (lake / "silver/stock.yaml").exists()
    assert "bronze.stock" in [table.name for table in compile_lake(lake).tables]
    assert 0 == add("sales.stock", "--key", "product_id,depot", "--force")[1].exit_code
    assert ("product_id", "depot") == compile_lake(lake).table("silver.stock").key


def test_a_view_without_key_and_known_time_waits_for_a_key_and_is_a_snapshot_with_it(add, shop):
    """Without one a snapshot is a comment, because it tells rows apart by their key; what must be decided is said."""
    _, database = shop
    with database.connect() as connection:
        connection.execute(f"create or replace view sales.bag as select mood::text from sales.people; grant select on sales.bag to {database.reader}")

    lake, ended = add("sales.bag")
    text = (lake / "bronze/bag.yaml").read_text()
    _, keyed = add("sales.bag", "--key", "mood", "--force")

    assert (3, 0) == (ended.exit_code, keyed.exit_code), keyed.output
    assert "      # snapshot: {min_share: 0.5, deleted: is_deleted, at: seen_at}" in text.splitlines()
    assert "bronze.bag has no primary key, and a snapshot tells rows apart by it" in ended.stderr
    assert "no column tells when a row changed" in ended.stderr
    bag = compile_lake(lake).table("silver.bag")
    assert (("mood",), "seen_at", "is_deleted") == (bag.key, bag.sequence, bag.delete_when)


def test_a_catalogue_is_read_whole(shop):
    """Domains by their base type, dropped columns left out, indexes of expressions no keys, a composite key in its order."""
    _, database = shop

    found = describe(login(database), "sales", "people", sampled=True)

    assert ("Who we know", ("person", "id"), (("contact",),)) == (found.comment, found.key, found.uniques)
    assert {"person", "contact", "seen"} == found.indexed
    assert 2 == len(found.checks)
    columns = {column.name: column for column in found.columns}
    assert ["id", "person", "mood", "part", "Odd", "contact", "status", "changed", "seen"] == list(columns)
    assert ("numeric(5,2)", True, "of the whole") == (columns["part"].type, columns["part"].required, columns["part"].comment)
    assert (("fine", "it's bad"), True) == (columns["mood"].labels, columns["id"].counted)
    assert (1, 1, 0) == (columns["contact"].contents.rows, columns["contact"].contents.filled, columns["seen"].contents.filled)


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--dry-run", "--json"), ("--no-sample", "--dry-run")])
def test_no_value_of_a_row_is_written_or_said(add, more):
    """Not the name, not the address, in files, on the terminal, or in JSON."""
    lake, ended = add("sales.people", *more)

    said = ended.output + ended.stderr + "".join(path.read_text() for path in lake.rglob("people.*"))
    assert ended.exit_code in (0, 3)
    assert "contact" in said
    assert MARK.split()[0].lower() not in said.lower()


def test_a_table_that_is_not_there_is_told_with_the_nearest_and_all_there_are(add):
    """A typing error, or a name from another database."""
    _, near = add("sales.ordres")
    _, far = add("hr.payroll")

    assert (2, 2) == (near.exit_code, far.exit_code)
    assert "sales.ordres is not a table or view of shop; did you mean sales.orders? There are sales." in near.stderr
    assert re.search(r"hr.payroll is not a table or view of shop\. There are .*sales.customers, .*sales.orders", far.stderr)


def test_what_the_database_refuses_is_words_without_a_password(shop):
    """A wrong password, a closed port, a table that may not be read: with the way on."""
    _, database = shop
    with database.connect() as connection:
        connection.execute(f"create table if not exists sales.closed (a text); revoke all on sales.closed from {database.reader}")

    with pytest.raises(CommandError, match="refuses lake_reader") as wrong:
        describe(login(database, password="hush hush"), "sales", "orders", sampled=True)
    with pytest.raises(CommandError, match="does not answer"):
        describe(login(database, port=1), "sales", "orders", sampled=True)
    with pytest.raises(CommandError, match="--no-sample"):
        describe(login(database), "sales", "closed", sampled=True)
    assert "hush" not in str(wrong.value)
    assert "a" == describe(login(database), "sales", "closed", sampled=False).columns[0].name


def test_reading_a_description_can_change_nothing(shop):
    """The session is read-only, whatever the role may do: the owner describes a view whose function writes, and is refused."""
    _, database = shop
    with database.connect() as connection:
        connection.execute("create or replace function sales.writes() returns int language sql as 'delete from sales.people returning 1'")
        connection.execute("create or replace view sales.trap as select sales.writes() as a")

    with pytest.raises(CommandError, match="ReadOnlySqlTransaction"):
        describe(login(database, username=database.owner, password=database.owner_password), "sales", "trap", sampled=True)
