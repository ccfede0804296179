"""`sluice add`: the first draft of a source table's contracts, from the source itself."""

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from cli.add_proposal import Proposal, Wishes, propose
from cli.add_source import POSTGRES, Login, describe
from cli.add_text import UNKNOWN_HOST, Setting, bronze_text, silver_text
from cli.errors import CommandError, Misused
from cli.lakes import LAPTOP, Desk, laptop_of
from cli.outcome import shown
from cli.render import err, examples, listed, out, show_json
from compiler import Problem, Refused, compile_lake
from compiler.document import read_yaml
from compiler.environments import FILE, read_environments
from compiler.problems import Problems
from compiler.source_kinds import NO_POSITION
from local.secret_values import own_values
from shared.aws.secrets import Credentials, Secrets
from shared.spec.environment import Environment

app = typer.Typer()

UNDECIDED = 3
_TABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_$]*)\.([A-Za-z_][A-Za-z0-9_$]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Files by path. `undecided` is why the lake does not take them yet, None when it does."""

    files: Mapping[Path, str]
    undecided: str | None


@app.command(
    "add",
    epilog=examples(
        "sluice add shop sales.orders --dry-run            # print the drafts",
        "sluice add shop sales.orders                      # write lake/bronze/orders.yaml and lake/silver/orders.yaml",
        "sluice add shop sales.stock --key product_id,depot",
        "sluice --env prod add crm public.people --name crm_people --watermark changed_at",
    ),
)
def add(
    context: typer.Context,
    server: Annotated[str, typer.Argument(metavar="SERVER", help="A server of environments.toml, under secrets.servers.")],
    table: Annotated[str, typer.Argument(metavar="SCHEMA.TABLE", help="A table or view of it.")],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="What the table is called in the lake.")] = None,
    key: Annotated[str, typer.Option("--key", metavar="COLUMNS", help="Its key, where the source declares none: a,b.")] = "",
    watermark: Annotated[str | None, typer.Option("--watermark", metavar="COLUMN", help="What grows with every change of a row.")] = None,
    team: Annotated[str | None, typer.Option("--team", metavar="NAME", help="Who answers for it.")] = None,
    sampled: Annotated[bool, typer.Option("--sample/--no-sample", help="Look at some rows for personal data. None is shown or kept.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace contracts that are there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the drafts and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Draft a bronze contract and its silver table from a table of a source.

    Columns, types, key, comments and constraints come from the source's catalogue; the watermark is found by name, and a table without one is a
    snapshot; columns that may be personal, by name or by what a sample looks like, are masked. Lines that say DECIDE wait for you. PostgreSQL
    alone is described.

    On the laptop credentials are those of .local/secrets.toml, else the demo shop's; on AWS those of the secret that environments.toml names.

    Exit 0: the drafts compile. Exit 3: they need a decision first, which is said. Exit 2: nothing was drafted.
    """
    desk: Desk = context.obj
    environments = _environments(desk)
    schema, plain = _parts(table)
    stem = name or plain
    _check_free(desk, stem, replaces=force or dry_run)
    written = _written_servers(desk, server, environments)
    login = _login(desk, server, environments[desk.environment], written)
    described = describe(login, schema, plain, sampled=sampled)
    wishes = Wishes(name=stem, key=tuple(dict.fromkeys(part.strip() for part in key.split(",") if part.strip())), watermark=watermark)
    proposal = propose(described, wishes)
    placed = {"host": UNKNOWN_HOST, "port": 5432, "database": login.database, "schema": schema}
    entries = tuple(written.get(place) or {"server": server, "type": "postgres", "environment": place, **placed} for place in environments)
    draft = drafted(desk.folder, proposal, Setting(server=server, team=team, servers=entries))
    if not dry_run:
        _write(draft)
    _tell(draft, proposal, wrote=not dry_run, as_json=as_json)
    if draft.undecided is not None:
        raise typer.Exit(UNDECIDED)


def drafted(folder: Path, proposal: Proposal, setting: Setting) -> Draft:
    """The drafts as the lake takes them. Where it refuses the proposed position alone, that stands as a comment.

    Raises CommandError when the lake refuses something else of them.
    """
    undecided = [] if proposal.key else [f"{proposal.relation} has no key: silver.{proposal.stem} is not drafted; name it with --key"]
    files = _files(folder, proposal, setting, undecided=False)
    refused, elsewhere = _refusals(folder, files)
    if refused:
        files = _files(folder, proposal, setting, undecided=True)
        left, elsewhere = _refusals(folder, files)
        if [problem.message for problem in left] != [NO_POSITION]:
            said = "\n".join(map(str, refused))
            raise CommandError(f"the lake refuses the draft, and nothing was written:\n{said}")
        undecided.append(f"the position stands as a comment in bronze/{proposal.stem}.yaml: {refused[0].message}; or name one with --watermark")
    broken = [problem for problem in elsewhere if problem not in _refusals(folder, {})[1]] if elsewhere else []
    undecided += [f"the lake does not compile with it: {problem}" for problem in broken]
    return Draft(files=files, undecided="; ".join(undecided) or None)


def _files(folder: Path, proposal: Proposal, setting: Setting, *, undecided: bool) -> Mapping[Path, str]:
    bronze = {folder / "bronze" / f"{proposal.stem}.yaml": bronze_text(proposal, setting, undecided=undecided)}
    if not proposal.key:
        return bronze
    return bronze | {folder / "silver" / f"{proposal.stem}.yaml": silver_text(proposal, setting)}


def _refusals(folder: Path, files: Mapping[Path, str]) -> tuple[Sequence[Problem], Sequence[Problem]]:
    """What is wrong with the lake once the files are in it, tried on a copy: in them, and elsewhere."""
    found: list[Problem] = []
    with tempfile.TemporaryDirectory(prefix="sluice-add-") as scratch:
        copy = Path(shutil.copytree(folder, Path(scratch) / folder.resolve().name))
        for path, text in files.items():
            there = copy / path.relative_to(folder)
            there.parent.mkdir(exist_ok=True)
            there.write_text(text, encoding="utf-8")
        try:
            compile_lake(copy)
        except Refused as refused:
            found = [replace(problem, file=str(folder / Path(problem.file).relative_to(copy))) for problem in refused.problems]
    return [p for p in found if Path(p.file) in files], [p for p in found if Path(p.file) not in files]


# ---- what is there


def _environments(desk: Desk) -> Mapping[str, Environment]:
    problems = Problems()
    found = read_environments(desk.folder / FILE, str(desk.folder / FILE), problems)
    if found is None:
        raise Refused(problems.all)
    if desk.environment not in found:
        raise Misused(f"{desk.folder / FILE}: {desk.environment} is not an environment of this lake; there are {listed(found)}; name one with --env")
    return found


def _parts(table: str) -> tuple[str, str]:
    found = _TABLE.fullmatch(table)
    if found is None:
        raise Misused(f"'{table}' is not SCHEMA.TABLE by plain names; a table whose name must be quoted is read through a view")
    return found[1].lower(), found[2].lower()


def _check_free(desk: Desk, stem: str, *, replaces: bool) -> None:
    there = [path for layer in ("bronze", "silver") if (path := desk.folder / layer / f"{stem}.yaml").exists()]
    if there and not replaces:
        raise Misused(f"{listed(map(str, there))}: there already; give another --name, or replace with --force")


def _written_servers(desk: Desk, server: str, environments: Mapping[str, Environment]) -> Mapping[str, Mapping[str, Any]]:
    """By environment, the entry that most contracts have for a server. Raises Misused when it has no secret, or is of a kind without driver here."""
    lacking = [name for name, environment in environments.items() if server not in environment.secrets.servers]
    if lacking:
        known = sorted({name for environment in environments.values() for name in environment.secrets.servers})
        raise Misused(
            f"{desk.folder / FILE}: server '{server}' has no secret in {listed(lacking)}; add it to secrets.servers (there are {listed(known)})"
        )
    found: dict[str, Counter[tuple[tuple[str, Any], ...]]] = {}
    for path in sorted((desk.folder / "bronze").glob("*.yaml")):
        doc = read_yaml(path.read_text(encoding="utf-8"), str(path), Problems())
        entries = doc.data.get("servers") if doc is not None and isinstance(doc.data, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and entry.get("server") == server and isinstance(entry.get("type"), str):
                found.setdefault(str(entry.get("environment")), Counter())[tuple(entry.items())] += 1
    written = {name: dict(counted.most_common(1)[0][0]) for name, counted in found.items()}
    kind = str(written.get(desk.environment, {}).get("type", POSTGRES[0]))
    if kind not in POSTGRES:
        like = "copy the contract of a like table, write its columns and compile"
        raise Misused(
            f"server '{server}' of {desk.environment} is of type {kind}, for which the command line has no driver; write the contract by hand: {like}"
        )
    return written


def _login(desk: Desk, server: str, environment: Environment, written: Mapping[str, Mapping[str, Any]]) -> Login:
    """What the credentials say wins over the contract's entry. Raises CommandError naming what neither says."""
    held = _on_laptop(desk, server) if desk.environment == LAPTOP else Secrets(environment).server(server)
    entry = {key: value for key, value in written.get(environment.name, {}).items() if value != UNKNOWN_HOST}
    host, port, database = held.host or entry.get("host"), held.port or entry.get("port"), held.database or entry.get("database")
    if host is None or port is None or database is None:
        absent = listed(word for word, value in (("host", host), ("port", port), ("database", database)) if value is None)
        raise CommandError(f"server '{server}' of {environment.name} has no {absent}; write it into its secret, or into a contract's servers")
    return Login(host=host, port=int(port), database=database, username=held.username, password=held.password)


def _on_laptop(desk: Desk, server: str) -> Credentials:
    """As the laptop would put them into its Secrets Manager: the user's own, else the demo shop's, while it is up."""
    own = own_values(desk.home / "secrets.toml").get(server)
    if own is not None:
        return Credentials(**{**own, "port": None if own.get("port") is None else int(own["port"])})
    shop = laptop_of(desk).status().database
    return Credentials(username=shop.reader, password=shop.reader_password, host=shop.host, port=shop.port, database=shop.name)


# ---- what is said


def _write(draft: Draft) -> None:
    for path, text in draft.files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _tell(draft: Draft, proposal: Proposal, *, wrote: bool, as_json: bool) -> None:
    if as_json:
        files = {shown(path): text for path, text in draft.files.items()}
        show_json({"files": files, "written": wrote, "decisions": list(proposal.decisions), "undecided": draft.undecided})
        return
    for path, text in draft.files.items():
        if wrote:
            out().print(Text(f"wrote {shown(path)}"), soft_wrap=True)
        else:
            typer.echo(f"# ---- {shown(path)}\n{text}", nl=False)
    for decision in proposal.decisions:
        err().print(Text(f"decide: {decision}"), soft_wrap=True)
    if draft.undecided is not None:
        err().print(Text(draft.undecided), soft_wrap=True)
    elif wrote:
        out().print(Text("they compile; read them, decide what says DECIDE, and commit"), soft_wrap=True)
