"""`sluice add`: what is proposed of any table compiles; personal data is suspected rather than not; nothing that is there is lost."""

import json
from pathlib import Path
from string import ascii_lowercase

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.add import drafted
from cli.add_described import Described, DescribedColumn
from cli.add_personal import contents_of, suspected
from cli.add_proposal import Wishes, propose
from cli.add_source import Login
from cli.add_text import UNKNOWN_HOST, Setting
from cli.add_types import Said, said_by, spark_type
from cli.errors import Misused
from cli.main import app
from compiler import Refused, compile_lake
from compiler.check import schema_problems
from compiler.columns import PLAIN_NAME, RESERVED
from compiler.source_kinds import NO_POSITION

PLACE = {"host": UNKNOWN_HOST, "port": 5432, "database": "shop", "schema": "sales"}
SETTING = Setting(server="shop", team=None, servers=({"server": "shop", "type": "postgres", "environment": "local", **PLACE},))
ENVIRONMENTS = """[environments.local]
account = "000000000000"
region = "us-east-1"
keeps_data = false
max_windows = 12
log_retention_days = 30
workers = {type = "G.1X", count = 2, timeout_minutes = 60}
secrets = {mask_key = "key", servers = {shop = "shop"}}
"""


def column(name, kind="text", **more):
    return DescribedColumn(name=name, type=kind, **more)


def described(*columns, **more):
    return Described(schema="sales", name=more.pop("name", "orders"), columns=columns, **more)


def proposed(*columns, wishes=None, **more):
    return propose(described(*columns, **more), wishes or Wishes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A lake that has an environment and no table yet."""
    lake = tmp_path_factory.mktemp("add") / "lake"
    lake.mkdir()
    (lake / "environments.toml").write_text(ENVIRONMENTS)
    return lake


# ---- any table

TYPES = st.sampled_from(
    "smallint integer bigint real|double precision|numeric|numeric(12,2)|numeric(50,10)|numeric(3,-2)|numeric(2,5)|boolean|date|text|uuid|json|jsonb|"
    "character varying(20)|character(3)|timestamp with time zone|timestamp(3) with time zone|timestamp without time zone|bytea|inet|money|integer[]|"
    "interval|point|time without time zone|sales.mood|hstore".replace(" b", "|b")
    .replace("smallint ", "smallint|")
    .replace("t real", "t|real")
    .split("|")
)
NAMES = st.one_of(
    st.sampled_from(
        ["id", "orders_id", "email", "updated_at", "created_at", "is_deleted", "seen_at", "deleted_at", "birthdate", "phone", "note", "order"]
    ),
    st.sampled_from(sorted(RESERVED)),
    st.text(ascii_lowercase + "_0", min_size=1, max_size=8),
    st.text(min_size=1, max_size=8),
)
TEXTS = st.one_of(st.none(), st.text(max_size=20), st.sampled_from(["who's: {who}", "a\nb", "yes", "12", "\x85 \ud7ff", "# no"]))
CHECKS = [
    "(({0})::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))",
    "({0} >= 0)",
    "({0} > (0)::numeric)",
    "((0 < {0}) AND ({0} <= 10.5))",
    "({0} = ANY (ARRAY[1, 2]))",
    "(({0})::text ~ '^[A-Z]{{2}}$'::text)",
    "(({0})::text ~ '[[:alpha:]]'::text)",
    "(length({0}) <= 30)",
    "(char_length(({0})::text) > 2)",
    "(({0} IS NOT NULL) AND ({0} < '-3'::integer))",
    "({0} > 1e400)",
    "(lower({0}) = {0})",
    "this is not SQL (",
]
SAMPLES = st.lists(st.one_of(st.none(), st.sampled_from(["1", "2", "a@b.cd", "Anna Schmidt", "4111 1111 1111 1111", "x"])), max_size=4)


@st.composite
def tables(draw):
    names = draw(st.lists(NAMES, min_size=1, max_size=7, unique_by=str.lower))
    columns = [
        DescribedColumn(
            name=name,
            type=draw(TYPES),
            required=draw(st.booleans()),
            counted=draw(st.booleans()),
            comment=draw(TEXTS),
            labels=tuple(draw(st.lists(st.text(max_size=5), max_size=2, unique=True))),
            contents=draw(st.one_of(st.none(), SAMPLES.map(contents_of))),
        )
        for name in names
    ]
    some = st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True).map(tuple)
    return described(
        *columns,
        comment=draw(TEXTS),
        key=draw(st.one_of(st.just(()), some)),
        uniques=tuple(draw(st.lists(some, max_size=2, unique=True))),
        indexed=frozenset(draw(st.lists(st.sampled_from(names), max_size=2))),
        checks=tuple(draw(st.sampled_from(CHECKS)).format(draw(st.sampled_from(names))) for _ in range(draw(st.integers(0, 3)))),
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(table=tables())
def test_the_drafts_of_any_table_compile_or_lack_the_one_thing_that_is_said(folder, tmp_path_factory, table):
    """Every column is in the contract or named as left out; what is masked is text; what compiles is ODCS by its own schema too."""
    if not any(PLAIN_NAME.fullmatch(c.name) and c.name not in RESERVED for c in table.columns):
        with pytest.raises(Misused, match="no column that can be read unquoted"):
            propose(table, Wishes())
        return
    proposal = propose(table, Wishes())

    draft = drafted(folder, proposal, SETTING)

    lake = tmp_path_factory.mktemp("drafted") / "lake"
    for path, text in {folder / "environments.toml": ENVIRONMENTS, **draft.files}.items():
        there = lake / path.relative_to(folder)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(text)
    made = {proposal.position.column, proposal.position.deleted} if proposal.position.kind == "snapshot" else set()
    kept, gone = {c.name for c in proposal.columns} - made, {name for name, _ in proposal.left_out}
    assert {c.name for c in table.columns} == kept | gone
    assert not kept & gone
    assert all(c.type == "string" for c in proposal.columns if c.mask)
    assert () == schema_problems(lake)
    assert problems_of(lake) == ([] if draft.undecided is None or "stands as a comment" not in draft.undecided else [NO_POSITION])
    assert (draft.undecided is None) == (len(draft.files) == 2 and not problems_of(lake))


def problems_of(lake):
    try:
        compile_lake(lake)
    except Refused as refused:
        return [problem.message for problem in refused.problems]
    return []


def test_a_table_without_times_is_drafted_as_a_snapshot_by_its_key(folder):
    """Nothing else must be decided for it to compile; the number that would read new rows alone is named."""
    proposal = proposed(column("id", "bigint", required=True), column("label"), key=("id",))

    draft = drafted(folder, proposal, SETTING)

    assert draft.undecided is None
    bronze, silver = draft.files.values()
    assert "      snapshot: {min_share: 0.5, deleted: is_deleted, at: seen_at}" in bronze.splitlines()
    assert "      sequence: seen_at\n      delete_when: is_deleted\n" in silver
    assert "--watermark id reads the new ones alone" in bronze


def test_a_table_without_key_and_times_says_both_with_the_lakes_own_words(folder):
    """A snapshot tells rows apart by their key: without one it is a comment."""
    draft = drafted(folder, proposed(column("label")), SETTING)

    assert "      # snapshot: {min_share: 0.5, deleted: is_deleted, at: seen_at}" in draft.files[folder / "bronze/orders.yaml"].splitlines()
    assert "sales.orders has no key: silver.orders is not drafted; name it with --key" in draft.undecided
    assert "bronze.orders has no primary key, and a snapshot tells rows apart by it; or name one with --watermark" in draft.undecided


def test_a_table_with_more_rules_than_there_are_is_thinned_and_says_what_is_left_out(folder):
    """Two hundred numbers are more than a contract holds; key and watermark always stay."""
    columns = [column(f"n{number}", "integer", required=True) for number in range(200)]

    proposal = proposed(column("id", "bigint", required=True), *columns, column("updated_at", "timestamptz"), key=("id",))

    assert drafted(folder, proposal, SETTING).undecided is None
    assert {"id", "updated_at"} < {c.name for c in proposal.columns}
    assert 202 == len(proposal.columns) + len(proposal.left_out)
    assert any("at most 60 rules" in decision for decision in proposal.decisions)


# ---- key and watermark


@pytest.mark.parametrize(
    ("columns", "more", "kind", "name"),
    [
        ([column("created_at", "timestamptz"), column("updated_at", "timestamptz")], {}, "timestamp", "updated_at"),
        ([column("row_changed", "timestamptz"), column("seen", "timestamptz")], {}, "timestamp", "row_changed"),
        (
            [column("created_at", "timestamptz"), column("deleted_at", "timestamptz")],
            {"indexed": {"created_at", "deleted_at"}},
            "timestamp",
            "created_at",
        ),
        ([column("created_at", "timestamptz"), column("number", "bigint", counted=True)], {}, "integer", "number"),
        ([column("created_at", "timestamptz"), column("number", "bigint", counted=True)], {"key": ("number",)}, "snapshot", "seen_at"),
        ([column("created_at", "timestamptz"), column("amount", "bigint")], {}, "snapshot", "seen_at"),
        ([column("seen_at", "text"), column("is_deleted", "text")], {}, "snapshot", "snapshot_seen_at"),
    ],
)
def test_the_watermark_is_found_by_name_then_by_index_else_the_table_is_read_whole(columns, more, kind, name):
    """A number tells of no change: it is for tables without a key. Columns of the engine's take no name that is taken."""
    position = proposed(*columns, **more).position

    assert (kind, name) == (position.kind, position.column)


def test_a_key_is_declared_or_unique_or_guessed_from_a_sample_and_never_of_one_row():
    """Without any, there is no silver table and the words to name one."""
    number, other = column("order_id", contents=contents_of(["a", "b"])), column("order_id", contents=contents_of(["a"]))
    required = column("code", required=True)

    assert ("code",) == proposed(number, required, key=("code",)).key
    assert ("code",) == proposed(number, required, uniques=(("code",),)).key
    assert ("order_id",) == proposed(number, column("code"), uniques=(("code",),)).key
    assert () == proposed(other, required).key
    assert ("order_id",) == proposed(other, required, wishes=Wishes(key=("order_id",))).key


def test_wishes_win_and_are_checked():
    """A typing error is found before the source's table is drafted around it."""
    columns = (column("id", "bigint"), column("changed", "date"), column("updated_at", "timestamptz"))

    assert ("date", "changed") == (lambda p: (p.kind, p.column))(proposed(*columns, wishes=Wishes(watermark="changed")).position)
    with pytest.raises(Misused, match="'idd' is not a column"):
        proposed(*columns, wishes=Wishes(key=("idd",)))
    with pytest.raises(Misused, match="cannot be a watermark"):
        proposed(*columns, column("code"), wishes=Wishes(watermark="code"))
    with pytest.raises(Misused, match="give another with --name"):
        proposed(*columns, name="Orders")


def test_deleted_rows_are_known_by_their_mark():
    """A flag, or a moment; the mark itself does not go on to silver."""
    key = column("id", "bigint", required=True)

    assert "is_deleted" == proposed(key, column("is_deleted", "boolean"), column("updated_at", "timestamptz")).delete_when
    assert "deleted_at IS NOT NULL" == proposed(key, column("deleted_at", "timestamptz"), column("updated_at", "timestamptz")).delete_when


# ---- types and constraints


@pytest.mark.parametrize(
    ("source", "spark"),
    [
        ("numeric(12,2)", "decimal(12,2)"),
        ("numeric(12)", "decimal(12,0)"),
        ("numeric", "decimal(38,18)"),
        ("numeric(39,2)", "string"),
        ("character varying(20)", "string"),
        ("timestamp(3) with time zone", "timestamp"),
        ("timestamp without time zone", "timestamp"),
        ("double precision", "double"),
        ("uuid", "string"),
        ("interval", "string"),
    ],
)
def test_a_type_becomes_the_spark_type_that_holds_all_of_it(source, spark):
    """What is not sure is said beside the column."""
    found = spark_type(source)

    assert spark == found.type
    assert (found.note is not None) == (source in ("numeric", "numeric(39,2)", "timestamp without time zone", "interval"))


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("((status)::text = ANY ((ARRAY['a'::text, 'b'::text])::text[]))", [("status", "values", ("a", "b"))]),
        ("(status IN ('a', 'b'))", [("status", "values", ("a", "b"))]),
        ("((amount >= (0)::numeric) AND (amount < '10.5'::numeric))", None),
        ("((amount >= (0)::numeric) AND (amount < (10)::numeric))", [("amount", "minimum", 0), ("amount", "exclusiveMaximum", 10)]),
        ("(0 < amount)", [("amount", "exclusiveMinimum", 0)]),
        ("(amount > '-5'::integer)", None),
        ("(amount > (-5))", [("amount", "exclusiveMinimum", -5)]),
        ("(char_length(code) > 2)", [("code", "minLength", 3)]),
        ("((code)::text ~ '^[A-Z]+$'::text)", [("code", "pattern", "^[A-Z]+$")]),
        ("((code)::text ~ '^[[:upper:]]+$'::text)", None),
        ("(email IS NOT NULL)", [("email", "required", True)]),
        ("(starts_at < ends_at)", None),
        ("((amount > 0) OR (status = 'free'::text))", None),
    ],
)
def test_a_check_is_understood_or_not_and_never_half(check, said):
    """One that is not understood is quoted in the draft, for somebody to write."""
    wanted = None if said is None else tuple(Said(column=column, option=option, value=value) for column, option, value in said)

    assert wanted == said_by(check)


# ---- personal data


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *[("email", "email"), ("contact_email", "email"), ("phone_number", "phone"), ("mobile", "phone"), ("first_name", "name"), ("name", "name")],
        *[
            ("customer_name", "name"),
            ("surname", "name"),
            ("shipping_address", "address"),
            ("zip", "address"),
            ("card_number", "card"),
            ("iban", "account"),
        ],
        *[("client_ip", "ip"), ("ip_address", "ip"), ("dob", "birth"), ("tax_id", "national_id"), ("password", "secret"), ("api_key", "secret")],
        *[("username", "login"), ("note", "free_text"), ("lat", "location"), ("account_number", "account")],
        *[
            (name, None)
            for name in ("product_name", "customer_id", "address_id", "email_verified", "card_type", "status", "title", "country", "currency")
        ],
    ],
)
def test_a_name_is_taken_for_what_it_may_hold(name, kind):
    """A foreign key and a flag are not the thing they point at."""
    found = suspected(name, "string", "text", None)

    assert kind == (None if found is None else found.kind)


@pytest.mark.parametrize(
    ("values", "kind", "sure"),
    [
        (["a.b@example.com", "c@example.org"], "email", True),
        (["call c@example.org", "nothing", "nothing", "nothing"], "free_text", False),
        (["4111 1111 1111 1111", "5500000000000004"], "card", True),
        (["4111111111111112", "5500000000000005"], None, None),
        (["DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819"], "account", True),
        (["DE88370400440532013000"], None, None),
        (["10.0.0.1", "2001:db8::1"], "ip", True),
        (["1.2.3.400"], None, None),
        (["+44 20 7946 0001", "(030) 123-4567"], "phone", True),
        (["2024-01-31", "31/01/2024", "2024-01-31 10:00"], None, None),
        (["Anna Schmidt", "Jean-Luc Picard"], "name", False),
        (["Main Street 1, Springfield", "Hauptstr. 5"], "address", False),
        (["O000000001", "C000000002", "12.50", "USD", "placed", "true", "red"], None, None),
        ([None, None], None, None),
    ],
)
def test_a_sample_is_taken_for_what_it_looks_like(values, kind, sure):
    """Check digits are checked; a date is no telephone number; one address in a text makes the text free text."""
    found = suspected("thing", "string", "text", contents_of(values))

    assert (kind, sure) == ((None, None) if found is None else (found.kind, found.sure))


@given(st.lists(st.one_of(st.none(), st.text(max_size=30)), max_size=5))
def test_no_value_leaves_a_sample(values):
    """Counts and shares alone."""
    found = contents_of(values)

    assert {int, float} >= {type(number) for number in (found.rows, found.filled, found.distinct, found.numbers, *found.looks_like.values())}


def test_what_cannot_be_masked_as_it_is_becomes_text_and_a_key_is_never_made_equal():
    """A date of birth, a number of a telephone; a personal key keeps its rows apart."""
    proposal = proposed(
        column("phone", "bigint", required=True), column("born", "date"), column("meta", "jsonb"), column("updated_at", "timestamptz"), key=("phone",)
    )
    found = {c.name: (c.type, c.mask) for c in proposal.columns}

    assert {"phone": ("string", "hmac"), "born": ("string", "redact"), "meta": ("string", "redact"), "updated_at": ("timestamp", None)} == found


# ---- the command


def add(lake: Path, *arguments):
    return CliRunner().invoke(app, ["--lake", str(lake), "--home", str(lake.parent / "home"), "add", *arguments])


@pytest.fixture
def shop_lake(tmp_path, folder, monkeypatch):
    """The lake, with a source that answers without a database."""
    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "environments.toml").write_text(ENVIRONMENTS)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "secrets.toml").write_text(
        '[servers.shop]\nusername = "me"\npassword = "hush"\nhost = "127.0.0.1"\nport = 1\ndatabase = "shop"\n'
    )
    columns = (column("id", "bigint", required=True), column("updated_at", "timestamptz"), column("email"))
    monkeypatch.setattr("cli.add.describe", lambda login, schema, name, sampled: described(*columns, name=name, key=("id",)))
    return lake


def test_two_files_are_written_and_never_over_what_is_there(shop_lake):
    """Somebody's contract is somebody's work."""
    first = add(shop_lake, "shop", "sales.orders", "--team", "sales-data")
    silver = shop_lake / "silver/orders.yaml"
    silver.write_text("mine")
    kept = (shop_lake / "bronze/orders.yaml").read_text()
    again = add(shop_lake, "shop", "sales.orders")
    untouched = silver.read_text()
    forced = add(shop_lake, "shop", "sales.orders", "--force")

    assert (0, 2) == (first.exit_code, again.exit_code), first.output
    assert "there already" in again.stderr
    assert ("mine", True) == (untouched, "name: sales-data" in kept)
    assert 0 == forced.exit_code
    assert ["bronze.orders", "silver.orders"] == [table.name for table in compile_lake(shop_lake).tables]


def test_a_dry_run_prints_what_it_would_write(shop_lake):
    """And writes nothing; in JSON too."""
    told, as_json = add(shop_lake, "shop", "sales.orders", "--dry-run"), add(shop_lake, "shop", "sales.orders", "--dry-run", "--json")

    assert (0, 0) == (told.exit_code, as_json.exit_code)
    assert "id: bronze.orders" in told.stdout
    assert "id: silver.orders" in told.stdout
    assert "# DECIDE:" in told.stdout
    assert 2 == len(json.loads(as_json.stdout)["files"])
    assert ["environments.toml"] == [path.name for path in shop_lake.rglob("*.*") if path.is_file()]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["crm", "sales.orders"], "server 'crm' has no secret in local; add it to secrets.servers (there are shop)"),
        (["shop", "orders"], "is not SCHEMA.TABLE"),
        (["shop", 'sales."Orders"'], "is not SCHEMA.TABLE"),
    ],
)
def test_what_cannot_be_drafted_is_refused_with_its_fix(shop_lake, arguments, words):
    """Before the source is asked."""
    ended = add(shop_lake, *arguments)

    assert 2 == ended.exit_code
    assert words in ended.stderr


def test_json_says_what_was_written_and_what_waits(shop_lake):
    """For a program that goes on from here: the files are there, and the decisions by themselves."""
    ended = add(shop_lake, "shop", "sales.orders", "--json")

    told = json.loads(ended.stdout)
    assert (0, True, None) == (ended.exit_code, told["written"], told["undecided"])
    assert [path.read_text() for path in (shop_lake / "bronze/orders.yaml", shop_lake / "silver/orders.yaml")] == list(told["files"].values())
    assert any("removes are never seen" in decision for decision in told["decisions"])


def test_a_replaced_contract_that_leaves_a_reader_without_its_column_is_said(shop_lake):
    """The draft is what the source is; who reads the old one must follow before the lake compiles."""
    assert 0 == add(shop_lake, "shop", "sales.orders").exit_code
    bronze, silver = shop_lake / "bronze/orders.yaml", shop_lake / "silver/old_orders.yaml"
    gone = "      - {name: gone, logicalType: string, physicalType: string}\n      - {name: email,"
    bronze.write_text(bronze.read_text().replace("      - {name: email,", gone))
    old = (shop_lake / "silver/orders.yaml").read_text().replace("silver.orders", "silver.old_orders").replace("name: orders", "name: old_orders")
    silver.write_text(old.replace("      - {name: email,", gone))
    compile_lake(shop_lake)

    ended = add(shop_lake, "shop", "sales.orders", "--force")

    line = next(n for n, text in enumerate(silver.read_text().splitlines(), start=1) if "name: gone" in text)
    assert 3 == ended.exit_code
    assert f"the lake does not compile with it: {silver}:{line}: 'gone' is not a column of bronze.orders" in ended.stderr
    assert "they compile" not in ended.stdout


def test_on_aws_credentials_are_those_of_the_secret_that_the_environment_names(shop_lake, monkeypatch):
    """What the secret says of the place wins over the contract; no value of it is told."""
    text = (
        ENVIRONMENTS.replace("environments.local", "environments.prod")
        .replace('shop = "shop"', 'shop = "prod/shop"')
        .replace("us-east-1", "eu-west-1")
    )
    (shop_lake / "environments.toml").write_text(ENVIRONMENTS + text)
    asked = []
    secret = {"username": "reader", "password": "hush hush", "host": "db.example.com", "port": "5433", "database": "crm"}

    class Vault:
        def get_secret_value(self, SecretId):  # noqa: N803  # boto3's own spelling
            asked.append(SecretId)
            return {"SecretString": json.dumps(secret)}

    logins = []
    monkeypatch.setattr("shared.aws.clients.secrets_manager", lambda region: asked.append(region) or Vault())
    monkeypatch.setattr("cli.add.describe", lambda login, *_, sampled: logins.append(login) or described(column("id", required=True), key=("id",)))

    prod = ["--lake", str(shop_lake), "--env", "prod", "add", "shop", "sales.orders"]
    ended = CliRunner().invoke(app, prod)
    contract = shop_lake / "bronze/orders.yaml"
    contract.write_text(contract.read_text().replace(UNKNOWN_HOST, "old.example.com"))
    again = CliRunner().invoke(app, [*prod, "--name", "again", "--dry-run"])
    contract.write_text(contract.read_text().replace("old.example.com", UNKNOWN_HOST))
    del secret["host"]
    nowhere = CliRunner().invoke(app, [*prod, "--name", "nowhere"])

    assert (0, 0, 1) == (ended.exit_code, again.exit_code, nowhere.exit_code), ended.output + again.output
    assert ["eu-west-1", "prod/shop"] * 3 == asked
    assert [Login(host="db.example.com", port=5433, database="crm", username="reader", password="hush hush")] * 2 == logins
    assert "server 'shop' of prod has no host; write it into its secret" in nowhere.stderr
    assert "hush" not in ended.output + ended.stderr + nowhere.output + contract.read_text()


def test_a_server_without_a_driver_here_is_said(shop_lake):
    """The command line describes PostgreSQL alone."""
    assert 0 == add(shop_lake, "shop", "sales.orders").exit_code
    contract = shop_lake / "bronze/orders.yaml"
    contract.write_text(contract.read_text().replace("type: postgres", "type: snowflake"))

    ended = add(shop_lake, "shop", "sales.customers")

    assert 2 == ended.exit_code
    assert "of type snowflake, for which the command line has no driver" in ended.stderr


def test_a_laptop_that_is_down_and_no_secrets_of_ones_own_are_said(shop_lake):
    """With the command that starts it."""
    (shop_lake.parent / "home" / "secrets.toml").unlink()

    ended = add(shop_lake, "shop", "sales.orders")

    assert 1 == ended.exit_code
    assert "sluice local up" in ended.stderr
