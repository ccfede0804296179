"""Refused: environments.toml. Each case is a good lake with one thing wrong."""

import pytest

from tests.unit.compiler_refusals import TOML, Wrong, assert_refused

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
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.file}: {wrong.name}")
def test_it_is_refused_with_its_place_and_its_fix(wrong, tmp_path):
    """A reader who knows nothing of the compiler finds the line, and what to write there."""
    assert_refused(wrong, tmp_path)
