"""`environments.toml`: every deployment, typed, each refusal with its line."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args
from zoneinfo import available_timezones

from compiler.document import Document, Lines
from compiler.node import Node
from compiler.problems import Problems, did_you_mean
from compiler.strikes import gaps
from shared.spec.environment import OPERATOR, Environment, Network, Role, Schedule, Secrets, Sla, Workers

FILE = "environments.toml"
WORKER_TYPES = ("G.1X", "G.2X", "G.4X", "G.8X", "G.12X", "G.16X", "R.1X", "R.2X", "R.4X", "R.8X")  # of Glue's Spark jobs
RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)  # CloudWatch's own

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_ACCOUNT = re.compile(r"\d{12}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_ZONE = re.compile(r"[a-z]{2}(-[a-z]+)+-\d[a-z]")
_SECRET = re.compile(r"[A-Za-z0-9/_+=.@-]+")
_SCHEDULE = re.compile(r"(cron\(\S+( \S+){5}\)|rate\([1-9]\d* (minute|hour|day)s?\)|at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\))")
_BUCKET = re.compile(r"[a-z0-9](?!.*--)[a-z0-9-]{1,61}[a-z0-9]")
_SLA = ("gate_minutes", "run_minutes", "start_minutes")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|https://\S+")
_WEEK_MINUTES = 7 * 24 * 60
_BUCKET_LENGTH = 63
_GROUP = re.compile(r"(ingest|refine|stage)\.[a-z][a-z0-9_]{0,31}|ingest|refine|stage|publish")
_PRINCIPAL = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:(role|user)/[\w+=,.@/-]+")
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
    read = {name: _read_environment(name, node) for name, node in nodes.items()}
    environments = {name: found for name, found in read.items() if found is not None}
    _check_apart({name: (found, nodes[name]) for name, found in environments.items()})
    return None if not environments or problems.concern(file) else environments


def check_servers_used(file: str, path: Path, environments: Mapping[str, Environment], named: Mapping[str, set[str]], problems: Problems) -> None:
    """Refuse a secret for a server that no contract names in that environment."""
    for environment, node in _written(file, path, environments, problems):
        known = named.get(environment.name, set())
        for server in environment.secrets.servers:
            if server not in known:
                refused = f"no contract names server '{server}' in environment '{environment.name}'"
                node["secrets"]["servers"][server].refuse(refused, did_you_mean(server, known))


def check_groups_used(file: str, path: Path, environments: Mapping[str, Environment], groups: Mapping[str, set[str]], problems: Problems) -> None:
    """Refuse workers for a group that no contract names. `groups`: by stage."""
    known = {f"{stage}.{group}" for stage, named in groups.items() for group in named}
    for environment, node in _written(file, path, environments, problems):
        for group in environment.groups:
            if "." in group and group not in known:
                node["workers"]["groups"][group].refuse(f"no contract puts a table into the group '{group}'", did_you_mean(group, known))


def check_teams_told(file: str, path: Path, environments: Mapping[str, Environment], teams: set[str], problems: Problems) -> None:
    """Refuse addresses of a team that owns nothing."""
    known = {*teams, OPERATOR}
    for environment, node in _written(file, path, environments, problems):
        for team in environment.alarms:
            if team not in known:
                node["alarms"][team].refuse(f"no table is owned by '{team}'", did_you_mean(team, known))


def _written(file: str, path: Path, environments: Mapping[str, Environment], problems: Problems) -> Iterator[tuple[Environment, Node]]:
    """Each environment with the place that it was read from."""
    doc = read_toml(path, file, problems)
    if doc is not None:
        for name, environment in environments.items():
            yield environment, Node.root(doc)["environments"][name]


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
    said = len(node.doc.problems.all)
    values = {field: read(node[key]) for key, (field, read) in _KEYS.items()}
    values["groups"] = _read_groups(node["workers"], values["workers"])
    if len(node.doc.problems.all) > said:
        return None
    environment = Environment(name=name, **values)
    if len(environment.log_bucket) > _BUCKET_LENGTH:
        node.refuse(
            f"bucket {environment.log_bucket} would have more than {_BUCKET_LENGTH} characters",
            'Shorten the environment\'s name, or write a shorter bucket = "...".',
        )
    if environment.network is not None and environment.network.zone[:-1] != environment.region:
        node["vpc"]["zone"].refuse(
            f"zone {environment.network.zone} is not in region {environment.region}", "Write a zone of the environment's region."
        )
    return environment


def _check_apart(environments: Mapping[str, tuple[Environment, Node]]) -> None:
    """Refuse what two environments cannot share: the name of a bucket is one in the whole world."""
    seen: dict[str, str] = {}
    for name, (environment, node) in environments.items():
        for bucket in (environment.bucket, environment.log_bucket):
            first = seen.setdefault(bucket, name)
            if first != name:
                node["bucket"].refuse(f"bucket '{bucket}' is also the bucket of environment '{first}'", "Give each environment a bucket of its own.")


def _matching(node: Node, pattern: re.Pattern[str], what: str) -> str | None:
    found = node.text(f"Write {what}.")
    if found is not None and not pattern.fullmatch(found):
        node.refuse(f"{node.name} '{found}' is not {what}", f"Write {what}.")
        return None
    return found


def _read_retention(node: Node) -> int | None:
    found = node.integer(1, required=True)
    if found is not None and found not in RETENTION_DAYS:
        near = min(RETENTION_DAYS, key=lambda days: abs(days - found))
        node.refuse(f"CloudWatch cannot keep logs {found} days", f"Write {near}: it knows {', '.join(map(str, RETENTION_DAYS))}.")
    return found


def _read_undo(node: Node) -> int | None:
    return 30 if node.absent else node.integer(1, 3650)


def _read_bucket(node: Node) -> str | None:
    return None if node.absent else _matching(node, _BUCKET, "a bucket's name: 3 to 63 lower-case letters, digits and single -")


def _read_flag(node: Node) -> bool:
    if node.absent:
        node.refuse(f"'{node.name}' is missing", f"Write {node.name} = true or false.")
    return node.flag()


def _read_workers(node: Node) -> Workers | None:
    if node.absent:
        node.refuse("'workers' is missing", 'Write workers = {type = "G.1X", count = 2, timeout_minutes = 60}.')
        return None
    node.only(("type", "count", "timeout_minutes", "groups"), what="workers")
    return _read_size(node, None)


def _read_size(node: Node, default: Workers | None) -> Workers | None:
    """A size; what it does not say is the default's, and without one it is refused."""
    wanted = {key: default is None or not node[key].absent for key in ("type", "count", "timeout_minutes")}
    kind = node["type"].word(WORKER_TYPES, f"Write one of Glue's worker types: {', '.join(WORKER_TYPES)}.") if wanted["type"] else None
    count = node["count"].integer(2, 299, required=wanted["count"])
    timeout = node["timeout_minutes"].integer(1, 10080, required=wanted["timeout_minutes"])
    if default is not None:
        return Workers(type=kind or default.type, count=count or default.count, timeout_minutes=timeout or default.timeout_minutes)
    return None if kind is None or count is None or timeout is None else Workers(type=kind, count=count, timeout_minutes=timeout)


def _read_groups(workers: Node, default: Workers | None) -> Mapping[str, Workers]:
    """Sizes that differ from the default: of a stage, and of a group in a stage, which takes what it does not say from its stage."""
    found: dict[str, Workers] = {}
    for name, node in sorted(workers["groups"].entries()):  # a stage before its groups
        if not _GROUP.fullmatch(name):
            node.refuse(
                f"'{name}' is no stage and no group of one", 'Write ingest, refine, stage or publish, or as in "ingest.slow" the group of a stage.'
            )
        node.only(("type", "count", "timeout_minutes"), what="the workers of a group")
        size = _read_size(node, found.get(name.partition(".")[0], default))
        if size is not None:
            found[name] = size
    return found


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


def _read_secrets(node: Node) -> Secrets | None:
    if node.absent:
        node.refuse("'secrets' is missing", 'Write secrets = {mask_key = "...", servers = {...}}: names in Secrets Manager.')
        return None
    node.only(("mask_key", "servers"), what="secrets")
    mask_key = _matching(node["mask_key"], _SECRET, "the mask key's name in Secrets Manager")
    servers = {name: _matching(secret, _SECRET, "a name in Secrets Manager") for name, secret in node["servers"].entries()}
    named = {name: secret for name, secret in servers.items() if secret is not None}
    return None if mask_key is None or len(named) < len(servers) else Secrets(mask_key=mask_key, servers=named)


def _read_network(node: Node) -> Network | None:
    if node.absent:
        return None
    node.only(("id", "subnet", "zone", "route_table"), what="vpc")
    vpc = _matching(node["id"], _id_of("vpc"), "the VPC's id, as vpc-0a1b2c3d")
    subnet = _matching(node["subnet"], _id_of("subnet"), "the id of a subnet in it, as subnet-0a1b2c3d")
    zone = _matching(node["zone"], _ZONE, "the subnet's availability zone, as eu-central-1a")
    table = (
        None if node["route_table"].absent else _matching(node["route_table"], _id_of("rtb"), "the id of the subnet's route table, as rtb-0a1b2c3d")
    )
    return None if vpc is None or subnet is None or zone is None else Network(vpc=vpc, subnet=subnet, zone=zone, route_table=table)


def _id_of(kind: str) -> re.Pattern[str]:
    return re.compile(rf"{kind}-[0-9a-f]{{8,17}}")


def _read_roles(node: Node) -> Mapping[str, tuple[str, ...]]:
    node.only(get_args(Role), what="roles")
    return {name: _read_principals(principals) for name, principals in node.entries()}


def _read_principals(node: Node) -> tuple[str, ...]:
    found = (_matching(item, _PRINCIPAL, "the ARN of an IAM role or user, as arn:aws:iam::111111111111:role/analysts") for item in node.items())
    return tuple(principal for principal in found if principal is not None)


# Key in the file -> field of Environment, and what reads it. A reader refuses what does not fit, in its place, and reading goes on.
_KEYS: Mapping[str, tuple[str, Callable[[Node], Any]]] = {
    "account": ("account", lambda node: _matching(node, _ACCOUNT, "the account's 12 digits, in quotes")),
    "region": ("region", lambda node: _matching(node, _REGION, "an AWS region, as eu-central-1")),
    "keeps_data": ("keeps_data", _read_flag),
    "max_windows": ("max_windows", lambda node: node.integer(1, 1000, required=True)),
    "log_retention_days": ("log_retention_days", _read_retention),
    "undo_days": ("undo_days", _read_undo),
    "bucket": ("bucket_name", _read_bucket),
    "workers": ("workers", _read_workers),
    "schedule": ("schedule", _read_schedule),
    "secrets": ("secrets", _read_secrets),
    "sla": ("sla", _read_sla),
    "alarms": ("alarms", _read_alarms),
    "vpc": ("network", _read_network),
    "roles": ("roles", _read_roles),
    "admins": ("admins", _read_principals),
    "former_domains": ("former_domains", lambda node: tuple(found for item in node.items() if (found := item.optional_text()) is not None)),
}
