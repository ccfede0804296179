"""Refused: environments.toml. Each case is a good lake with one thing wrong."""

import pytest

from compiler import compile_lake
from shared.spec.environment import Network, Workers
from tests.unit.compiler_refusals import TOML, Wrong, assert_refused, copied, edit, problems_of

PROD = "count = 10, timeout_minutes = 120}"
KEPT = "keeps_data = true"

WRONG = [
    Wrong("none", TOML, "-", None, 1, "the lake has no environments", "[environments.local]"),
    Wrong("not toml", TOML, "keeps_data = false", "keeps_data = nope", "nope", "this is not TOML", "Mend"),
    Wrong("twice", TOML, "[environments.dev]", "[environments.local]", 12, "this is not TOML", "keep one"),
    Wrong(
        "unknown key",
        TOML,
        "max_windows = 12\nlog",
        "max_window = 12\nlog",
        "max_window = ",
        "unknown key 'max_window' in an environment",
        "'max_windows'",
    ),
    Wrong("unknown table", TOML, "[environments.dev]", "[environment.dev]", "[environment.dev]", "unknown key 'environment'", "'environments'"),
    Wrong("name", TOML, "[environments.dev]", "[environments.Dev]", "[environments.Dev]", "'Dev' cannot be an environment's name", "lower-case"),
    Wrong("account", TOML, '"111111111111"', '"1111"', '"1111"', "account '1111' is not", "12 digits"),
    Wrong("account as a number", TOML, '"111111111111"', "111111111111", "= 111111111111", "'account' must be text", "quotes"),
    Wrong("region", TOML, '"us-east-1"', '"useast1"', "useast1", "region 'useast1' is not an AWS region", "eu-central-1"),
    Wrong("keeps_data", TOML, "keeps_data = true", 'keeps_data = "yes"', '"yes"', "'keeps_data' must be true or false", "without quotes"),
    Wrong("no keeps_data", TOML, "keeps_data = true\n", "", "[environments.prod]", "'keeps_data' is missing", "true or false"),
    Wrong("retention", TOML, "log_retention_days = 365", "log_retention_days = 360", "360", "cannot keep logs 360 days", "Write 365"),
    Wrong("worker type", TOML, 'type = "G.1X", count = 10', 'type = "G1X", count = 10', '"G1X"', "unknown type 'G1X'", "G.1X"),
    Wrong("worker count", TOML, "count = 10", "count = 1", "count = 1,", "'count' cannot be 1", "from 2"),
    Wrong(
        "schedule",
        TOML,
        'cron(0 4 * * ? *)", time_zone = "Europe/Berlin',
        '0 4 * * *", time_zone = "Europe/Berlin',
        '0 4 * * *"',
        "expression '0 4 * * *' is not",
        "cron(",
    ),
    Wrong("hour", TOML, "cron(0 4 * * ? *)", "cron(0 25 * * ? *)", "cron(0 25", "'25' cannot be its hours", "cron("),
    Wrong("no day", TOML, "cron(0 4 * * ? *)", "cron(0 4 31 2 ? *)", "31 2", "no day is ever as it says", "cron("),
    Wrong("two days", TOML, "cron(0 4 * * ? *)", "cron(0 4 1 * MON *)", "1 * MON", "one of day of month and day of week must be ?", "cron("),
    Wrong("sla", TOML, "keeps_data = true", "keeps_data = true\nsla = {gate_minutes = 0}", "gate_minutes", "'gate_minutes' cannot be 0", "from 1"),
    Wrong("unknown sla", TOML, "keeps_data = true", "keeps_data = true\nsla = {gates = 20}", "gates", "unknown key 'gates' in sla", "gate_minutes"),
    Wrong(
        "address",
        TOML,
        "keeps_data = true",
        'keeps_data = true\nalarms = {operator = ["data platform"]}',
        "data platform",
        "'data platform' is not a mail address",
        "https://",
    ),
    Wrong(
        "team",
        TOML,
        "keeps_data = true",
        'keeps_data = true\nalarms = {sales-dat = ["a@example.com"]}',
        "sales-dat",
        "no table is owned by 'sales-dat'",
        "'sales-data'",
    ),
    Wrong("time zone", TOML, "Europe/Berlin", "Europe/Berlinn", "Berlinn", "unknown time_zone 'Europe/Berlinn'", "'Europe/Berlin'"),
    Wrong("no mask key", TOML, 'mask_key = "sluice/prod/mask-key", ', "", "sluice/prod/shop", "'mask_key' is missing", "Secrets Manager"),
    Wrong(
        "stale server",
        TOML,
        'shop = "sluice/prod/shop"',
        'shop = "sluice/prod/shop", old = "x"',
        "old =",
        "no contract names server 'old' in environment 'prod'",
        "shop",
    ),
    Wrong("stage", TOML, PROD, f"{PROD[:-1]}, groups = {{load = {{count = 4}}}}}}", "load =", "'load' is no stage and no group of one", "ingest"),
    Wrong("group", TOML, PROD, f'{PROD[:-1]}, groups = {{"ingest.slow" = {{count = 4}}}}}}', "slow", "into the group 'ingest.slow'", "ingest.main"),
    Wrong("size", TOML, PROD, f"{PROD[:-1]}, groups = {{ingest = {{size = 4}}}}}}", "size =", "unknown key 'size' in the workers of a group", "type"),
    Wrong("group's type", TOML, PROD, f'{PROD[:-1]}, groups = {{ingest = {{type = "G.3X"}}}}}}', "G.3X", "unknown type 'G.3X'", "G.2X"),
    Wrong("undo", TOML, KEPT, f"{KEPT}\nundo_days = 0", "undo_days", "'undo_days' cannot be 0", "from 1"),
    Wrong("bucket's name", TOML, KEPT, f'{KEPT}\nbucket = "Our_Lake"', "Our_Lake", "bucket 'Our_Lake' is not a bucket's name", "lower-case"),
    Wrong("long bucket", TOML, KEPT, f'{KEPT}\nbucket = "{60 * "b"}"', "[environments.prod]", "more than 63 characters", "shorter bucket"),
    Wrong(
        "one bucket",
        TOML,
        KEPT,
        f'{KEPT}\nbucket = "sluice-dev-111111111111-eu-central-1"',
        "bucket =",
        "is also the bucket of environment 'dev'",
        "of its own",
    ),
    Wrong("role", TOML, KEPT, f"{KEPT}\nroles = {{analysts = []}}", "analysts", "unknown key 'analysts' in roles", "'analyst'"),
    Wrong("principal", TOML, KEPT, f'{KEPT}\nroles = {{analyst = ["ann"]}}', '"ann"', "'ann' is not the ARN of an IAM role or user", "arn:aws:iam"),
    Wrong("admin", TOML, KEPT, f'{KEPT}\nadmins = "ann"', "admins", "'admins' must be a list", "[a, b]"),
    Wrong(
        "vpc",
        TOML,
        KEPT,
        f'{KEPT}\nvpc = {{id = "vpc-1", subnet = "subnet-0a1b2c3d", zone = "eu-central-1a"}}',
        "vpc-1",
        "'vpc-1' is not",
        "vpc-0a1b2c3d",
    ),
    Wrong(
        "zone",
        TOML,
        KEPT,
        f'{KEPT}\nvpc = {{id = "vpc-0a1b2c3d", subnet = "subnet-0a1b2c3d", zone = "eu-west-1a"}}',
        "vpc-0a1b2c3d",
        "zone eu-west-1a is not in region eu-central-1",
        "Write a zone",
    ),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.file}: {wrong.name}")
def test_it_is_refused_with_its_place_and_its_fix(wrong, tmp_path):
    """A reader who knows nothing of the compiler finds the line, and what to write there."""
    assert_refused(wrong, tmp_path)


def test_all_problems_of_all_environments_are_told_at_once(tmp_path):
    """Whoever mends a file wants to mend it once."""
    lake = copied(tmp_path)
    edit(lake / TOML, '"111111111111"', '"1111"')
    edit(lake / TOML, "Europe/Berlin", "Europe/Berlinn")
    edit(lake / TOML, "count = 10", "count = 1")

    assert ["account '1111'", "'count' cannot", "unknown time_zone"] == [" ".join(problem.message.split()[:2]) for problem in problems_of(lake)]


def test_an_environment_says_all_that_differs(tmp_path):
    """A group takes what it does not say from its stage, and a stage from the default."""
    lake = copied(tmp_path)
    edit(lake / TOML, PROD, f'{PROD[:-1]}, groups = {{"ingest.main" = {{count = 20}}, ingest = {{type = "G.2X"}}}}}}')
    analysts, admin = "arn:aws:iam::222222222222:role/team/analysts", "arn:aws:iam::222222222222:user/ann"
    network = 'vpc = {id = "vpc-0a1b2c3d", subnet = "subnet-0a1b2c3d", zone = "eu-central-1a", route_table = "rtb-0a1b2c3d"}'
    edit(lake / TOML, KEPT, f'{KEPT}\nundo_days = 7\nbucket = "our-lake"\nroles = {{analyst = ["{analysts}"]}}\nadmins = ["{admin}"]\n{network}')

    prod = compile_lake(lake).environment("prod")

    usual, ingest, main = Workers(type="G.1X", count=10, timeout_minutes=120), "G.2X", 20
    assert (usual, ingest, main) == (prod.workers_of("refine", "main"), prod.workers_of("ingest").type, prod.workers_of("ingest", "main").count)
    assert (ingest, 10, 120) == (prod.workers_of("ingest", "main").type, prod.workers_of("ingest").count, prod.workers_of("ingest").timeout_minutes)
    assert ("our-lake", "our-lake-logs", 7) == (prod.bucket, prod.log_bucket, prod.undo_days)
    assert ({"analyst": (analysts,)}, (admin,)) == (prod.roles, prod.admins)
    assert Network(vpc="vpc-0a1b2c3d", subnet="subnet-0a1b2c3d", zone="eu-central-1a", route_table="rtb-0a1b2c3d") == prod.network
