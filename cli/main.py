"""The program: global options, every command, and the one place where errors become words and exit codes.

0 ok, 1 failed, 2 refused contracts or wrong use, 3 a run committed with blocked tables,
4 a contract broke without its major version, 130 interrupted.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError, ProfileNotFound
from rich.text import Text
from typer.core import TyperGroup

from cli import add, bypass, compile, contracts, demo, doctor, laptop, plan, rejects, run, runs, shop, sql, status
from cli.errors import CommandError
from cli.lakes import LAPTOP, Desk, open_lake
from cli.render import err, examples
from cli.run import INTERRUPTED
from compiler import Refused
from local.errors import LaptopError
from local.places import HOME
from shared.core.errors import SluiceError

_ABSENT = ("ResourceNotFoundException", "StateMachineDoesNotExist", "NoSuchBucket", "EntityNotFoundException")


class Program(TyperGroup):
    """Says what went wrong, and exits; only a bug of ours shows a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Refused as refused:
            for problem in refused.problems:
                _say(f"{problem.file}:{problem.line}: {problem.message} - {problem.fix}")
            _say(f"{len(refused.problems)} problem{'' if len(refused.problems) == 1 else 's'}; nothing was compiled")
            raise typer.Exit(2) from refused
        except CommandError as refused:
            _say(str(refused))
            raise typer.Exit(refused.exit_code) from refused
        except (SluiceError, LaptopError) as failed:
            _say(f"{type(failed).__name__}: {failed}" if isinstance(failed, SluiceError) else str(failed))
            raise typer.Exit(1) from failed
        except (BotoCoreError, ClientError) as failed:
            _say(aws_words(failed))
            raise typer.Exit(1) from failed
        except KeyboardInterrupt as stopped:
            _say("interrupted")
            raise typer.Exit(INTERRUPTED) from stopped


app = typer.Typer(
    name="sluice",
    cls=Program,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=examples("sluice compile", "sluice local up", "sluice run", 'sluice sql "select count(*) from gold.fact_sales"'),
)


@app.callback()
def options(
    context: typer.Context,
    lake: Annotated[Path, typer.Option(metavar="DIR", help="The lake's folder.")] = Path("lake"),
    env: Annotated[str, typer.Option(metavar="NAME", help="An environment of the lake's environments.toml.")] = LAPTOP,
    home: Annotated[Path, typer.Option(metavar="DIR", help="Where the laptop keeps its state.", show_default=".local")] = HOME,
) -> None:
    """The lakehouse of a folder of contracts: check it, run it, ask it.

    `local` is this laptop; any other environment is AWS, with your own credentials.

    Exit codes: 0 ok, 1 failed, 2 refused contracts or wrong use, 3 tables blocked, 4 a contract broke without its
    major version, 130 interrupted.
    """
    context.obj = Desk(folder=lake, environment=env, home=home, opener=context.obj or open_lake)


for part in (compile, add, plan, run, status, sql, doctor, demo):
    app.add_typer(part.app)
for group in (runs, rejects, bypass, contracts, laptop, shop):
    app.add_typer(group.app)


def aws_words(failed: BotoCoreError | ClientError) -> str:
    """What AWS, or the way to it, said, and what to do."""
    if isinstance(failed, NoCredentialsError):
        return "there are no AWS credentials here; set AWS_PROFILE, or log in with `aws sso login`"
    if isinstance(failed, (EndpointConnectionError, ProfileNotFound)) or not isinstance(failed, ClientError):
        return f"AWS could not be asked: {failed}"
    code, message = failed.response["Error"].get("Code", ""), failed.response["Error"].get("Message", "")
    if code in _ABSENT:
        return f"AWS, {failed.operation_name}: {message} ({code}); is the environment deployed in this account and region?"
    return f"AWS, {failed.operation_name}: {message} ({code})"


def main() -> None:
    app()


def _say(text: str) -> None:
    err().print(Text(text), soft_wrap=True)


if __name__ == "__main__":
    main()
