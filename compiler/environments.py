"""`environments.toml`: every deployment, typed, each refusal with its line."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from zoneinfo import available_timezones

from compiler.document import Document, Lines
from compiler.node import Node
from compiler.problems import Problems, did_you_mean
from compiler.strikes import gaps
from shared.spec.environment import OPERATOR, Environment, Schedule, Secrets, Sla, Workers

FILE = "environments.toml"
WORKER_TYPES = ("G.1X", "G.2X", "G.4X", "G.8X", "G.12X", "G.16X", "R.1X", "R.2X", "R.4X", "R.8X")  # of Glue's Spark jobs
RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)  # CloudWatch's own

_KEYS = ("account", "region", "keeps_data", "max_windows", "log_retention_days", "workers", "schedule", "secrets", "sla", "alarms")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_SECRET = re.compile(r"[A-Za-z0-9/_+=.@-]+")
_SCHEDULE = re.compile(r"(cron\(\S+( \S+){5}\)|rate\([1-9]\d* (minute|hour|day)s?\)|at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\))")
_SLA = ("gate_minutes", "run_minutes", "start_minutes")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|https://\S+")
_WEEK_MINUTES = 7 * 24 * 60
_BUCKET_LENGTH = 63
_TOML_PLACE = re.compile(r"\(at line (\d+), column \d+\)")


def read_environments(path: Path, file: str, problems: Problems) -> Mapping[str, Environment] | None:
    """All environments by name; None, with the problems written down, when one does not hold."""
    doc = read_toml(path, file, problems)
    if doc is None:
        return None
    root = Node.root(doc)
    root.only(("environments",), what=FILE)
    nodes = dict(root["environments"].entries())
    if not nodes:
        root.refuse("there is no environment", "Add one: [environments.local].")
    environments = {name: _read_environment(name, node) for name, node in nodes.items()}
    if not environments or problems.concern(file):
        return None
    return {name: found for name, found in environments.items() if found is not None}


def check_servers_used(file: str, path: Path, environments: Mapping[str, Environment], named: Mapping[str, set[str]], problems: Problems) -> None:
    """Refuse a secret for a server that no contract names in that environment."""
    doc = read_toml(path, file, problems)
    for name, environment in environments.items() if doc is not None else ():
        for server in environment.secrets.servers:
            if doc is not None and server not in named.get(name, set()):
                node = Node.root(doc)["environments"][name]["secrets"]["servers"][server]
                node.refuse(f"no contract names server '{server}' in environment '{name}'", did_you_mean(server, named.get(name, set())))


def read_toml(path: Path, file: str, problems: Problems) -> Document | None:
    try:
        text = path.read_text(encoding="utf-8")
        return Document(file, tomllib.loads(text), _lines(text), problems)
    except FileNotFoundError:
        problems.add(file, 1, "the lake has no environments", f"Write {FILE} with at least [environments.local].")
    except UnicodeDecodeError:
        problems.add(file, 1, "the file is not UTF-8", "Save it as UTF-8 text.")
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        twice = "Cannot declare" in str(error) or "Cannot overwrite" in str(error)
        fix = "Two tables or keys have this name: keep one." if twice else "Mend the syntax here."
        problems.add(file, int(place[1]) if place else 1, f"this is not TOML: {_TOML_PLACE.sub('', str(error)).strip()}", fix)
    return None


def _lines(text: str) -> Lines:
    """Lines of tables and keys. An inline table is one line by TOML's own grammar, so its keys fall back to that line."""
    lines: Lines = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(#.*)?$", line):
            table = _parts(header[1])
            for depth in range(1, len(table) + 1):
                lines.setdefault(table[:depth], number)
        elif key := re.match(r"\s*([A-Za-z0-9_.\"'\s-]+?)\s*=", line):
            lines.setdefault((*table, *_parts(key[1])), number)
    return lines


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _read_environment(name: str, node: Node) -> Environment | None:
    node.only(_KEYS, what="an environment")
    if not _NAME.fullmatch(name):
        node.refuse(f"'{name}' cannot be an environment's name", "Use lower-case letters, digits and single -, a letter first.")
    account = _matching(node["account"], re.compile(r"\d{12}"), "the account's 12 digits, in quotes")
    region = _matching(node["region"], _REGION, "an AWS region, as eu-central-1")
    keeps_data = _read_flag(node["keeps_data"])
    max_windows = node["max_windows"].integer(1, 1000, required=True)
    retention = node["log_retention_days"].integer(1, required=True)
    if retention is not None and retention not in RETENTION_DAYS:
        near = min(RETENTION_DAYS, key=lambda days: abs(days - retention))
        node["log_retention_days"].refuse(
            f"CloudWatch cannot keep logs {retention} days", f"Write {near}: it knows {', '.join(map(str, RETENTION_DAYS))}."
        )
    sla, alarms = _read_sla(node["sla"]), _read_alarms(node["alarms"])
    workers, schedule, secrets = _read_workers(node["workers"]), _read_schedule(node["schedule"]), _read_secrets(node["secrets"])
    if account is None or region is None or max_windows is None or retention is None or workers is None or secrets is None:
        return None
    environment = Environment(
        name=name,
        account=account,
        region=region,
        keeps_data=keeps_data,
        max_windows=max_windows,
        log_retention_days=retention,
        workers=workers,
        schedule=schedule,
        secrets=secrets,
        sla=sla,
        alarms=alarms,
    )
    if len(environment.bucket) > _BUCKET_LENGTH:
        node.refuse(f"bucket {environment.bucket} would have more than {_BUCKET_LENGTH} characters", "Shorten the environment's name.")
    return environment


def _matching(node: Node, pattern: re.Pattern[str], what: str) -> str | None:
    found = node.text(f"Write {what}.")
    if found is not None and not pattern.fullmatch(found):
        node.refuse(f"{node.name} '{found}' is not {what}", f"Write {what}.")
        return None
    return found


def _read_flag(node: Node) -> bool:
    if node.absent:
        node.refuse(f"'{node.name}' is missing", f"Write {node.name} = true or false.")
    return node.flag()


def _read_workers(node: Node) -> Workers | None:
    if node.absent:
        node.refuse("'workers' is missing", 'Write workers = {type = "G.1X", count = 2, timeout_minutes = 60}.')
        return None
    node.only(("type", "count", "timeout_minutes"), what="workers")
    kind = node["type"].word(WORKER_TYPES, f"Write one of Glue's worker types: {', '.join(WORKER_TYPES)}.")
    count = node["count"].integer(2, 299, required=True)
    timeout = node["timeout_minutes"].integer(1, 10080, required=True)
    return None if kind is None or count is None or timeout is None else Workers(type=kind, count=count, timeout_minutes=timeout)


def _read_schedule(node: Node) -> Schedule | None:
    if node.absent:
        return None
    node.only(("expression", "time_zone", "enabled"), what="schedule")
    expression = _matching(node["expression"], _SCHEDULE, "an EventBridge Scheduler expression, as cron(0 4 * * ? *) or rate(6 hours)")
    zone = node["time_zone"].word(_time_zones(), "Write an IANA time zone, as Europe/Berlin or UTC.")
    enabled = _read_flag(node["enabled"])
    if expression is None or zone is None:
        return None
    schedule = Schedule(expression=expression, time_zone=zone, enabled=enabled)
    try:
        gaps(schedule)
    except ValueError as odd:
        node["expression"].refuse(f"'{expression}' strikes never: {odd}", "Write it as cron(minutes hours day-of-month month day-of-week year).")
        return None
    return schedule


@cache  # it walks a folder of 600 files
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _read_sla(node: Node) -> Sla:
    """What is not written keeps its default."""
    node.only(_SLA, what="sla")
    written = {name: node[name].integer(1, _WEEK_MINUTES) for name in _SLA}
    return Sla(**{name: minutes for name, minutes in written.items() if minutes is not None})


def _read_alarms(node: Node) -> dict[str, tuple[str, ...]]:
    found = {}
    for team, addresses in node.entries():
        texts = [_matching(address, _ADDRESS, "a mail address or an https:// address") for address in addresses.items()]
        found[team] = tuple(text for text in texts if text is not None)
    return found


def check_teams_told(file: str, path: Path, environments: Mapping[str, Environment], teams: set[str], problems: Problems) -> None:
    """Refuse addresses of a team that owns nothing."""
    doc = read_toml(path, file, problems)
    for name, environment in environments.items() if doc is not None else ():
        for team in environment.alarms:
            if doc is not None and team not in {*teams, OPERATOR}:
                node = Node.root(doc)["environments"][name]["alarms"][team]
                node.refuse(f"no table is owned by '{team}'", did_you_mean(team, {*teams, OPERATOR}))


def _read_secrets(node: Node) -> Secrets | None:
    if node.absent:
        node.refuse("'secrets' is missing", 'Write secrets = {mask_key = "...", servers = {...}}: names in Secrets Manager.')
        return None
    node.only(("mask_key", "servers"), what="secrets")
    mask_key = _matching(node["mask_key"], _SECRET, "the mask key's name in Secrets Manager")
    servers = {name: _matching(secret, _SECRET, "a name in Secrets Manager") for name, secret in node["servers"].entries()}
    named = {name: secret for name, secret in servers.items() if secret is not None}
    return None if mask_key is None or len(named) < len(servers) else Secrets(mask_key=mask_key, servers=named)
