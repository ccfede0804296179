"""`sluice local up|down|status`: AWS on this machine."""

from typing import Annotated

import typer
from rich.text import Text

from cli.lakes import Desk, laptop_of
from cli.outcome import shown
from cli.render import examples, out, show_json

app = typer.Typer(name="local", help="AWS on this laptop: emulator, database with the demo shop, the deployed lake.", no_args_is_help=True)


@app.command("up", epilog=examples("sluice local up", "sluice --lake my_lake local up"))
def up(context: typer.Context) -> None:
    """Start the laptop in the background and deploy the lake to it; when it is up already, deploy the lake as it is now.

    A first start fills the demo shop. State is kept in .local; values of your own database go into .local/secrets.toml.
    """
    desk: Desk = context.obj
    desk.only_on_laptop("local up")
    desk.compiled()  # a lake that is refused is refused before anything starts
    laptop = laptop_of(desk, tell)
    if not laptop.up(detached=True):
        laptop.deploy()
    status = laptop.status()
    out().print(Text(f"up at {status.aws.endpoint} (pid {status.pid}); `sluice run` starts a run, `sluice local down` stops it all"), soft_wrap=True)


@app.command("down", epilog=examples("sluice local down"))
def down(context: typer.Context) -> None:
    """Stop everything that the laptop runs. Its state is kept."""
    desk: Desk = context.obj
    desk.only_on_laptop("local down")
    out().print("down" if laptop_of(desk).down() else "it was not up")


@app.command("status", epilog=examples("sluice local status", "sluice local status --json"))
def status(context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Whether the laptop is up, and where. Exit 1 when it is not."""
    desk: Desk = context.obj
    desk.only_on_laptop("local status")
    laptop = laptop_of(desk)
    if not laptop.is_up():
        show_json({"up": False, "home": str(desk.home)}) if as_json else out().print("not up; start it with `sluice local up`")
        raise typer.Exit(1)
    found = laptop.status()
    database = f"{found.database.host}:{found.database.port}/{found.database.name}"
    if as_json:
        told = {"endpoint": found.aws.endpoint, "account": found.aws.account, "region": found.aws.region, "database": database}
        show_json({"up": True, "pid": found.pid, **told, "home": str(desk.home)})
        return
    for line in (
        f"up (pid {found.pid})",
        f"AWS       {found.aws.endpoint}, account {found.aws.account}, {found.aws.region}",
        f"database  {database}",
        f"logs      {shown(desk.home / 'logs')}",
    ):
        out().print(Text(line), soft_wrap=True)


def tell(line: str) -> None:
    """One step of progress."""
    out().print(Text(f"  {line}"), soft_wrap=True)
