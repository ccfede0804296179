"""`sluice sql`: one SELECT over the certified tables."""

import csv
import io
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import typer
from rich.text import Text

from cli.errors import Misused
from cli.lakes import Desk, OpenLake
from cli.queries import Answer, resolve
from cli.render import err, examples, instant, out, show_json, show_table

app = typer.Typer()


@app.command(
    "sql",
    epilog=examples(
        'sluice sql "select count(*) from gold.fact_sales"',
        'sluice sql "select currency, count(*) as orders from silver.orders group by 1" --json',
        'sluice --env prod sql "select * from gold.dim_date limit 3" --csv > dates.csv',
    ),
)
def ask(
    context: typer.Context,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT; tables are named layer.table, as in silver.orders.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
) -> None:
    """Ask the certified tables: what the last committed run left, whatever is being written now.

    On the laptop DuckDB answers, on AWS Athena. Rows that the source deleted are left out of silver. Exit 2: not one SELECT, or an unknown table.
    """
    if as_json and as_csv:
        raise Misused("sluice sql: --json or --csv, not both")
    desk: Desk = context.obj
    answer = answer_to(desk.open(), query)
    if as_json:
        show_json([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
    elif as_csv:
        typer.echo(_csv(answer), nl=False)
    else:
        show_answer(answer)
    for note in answer.notes:
        err().print(Text(note), soft_wrap=True)


def answer_to(lake: OpenLake, text: str) -> Answer:
    """Raises Misused, CommandError."""
    return lake.engine.run(resolve(text, lake=lake.lake, state=lake.state, dialect=lake.engine.dialect))


def show_answer(answer: Answer) -> None:
    """Values as they are: a key such as 20260131 is no amount, and gets no separators."""
    numbers = [name for position, name in enumerate(answer.columns) if answer.rows and isinstance(answer.rows[0][position], (int, float, Decimal))]
    rows = [[str(value) if isinstance(value, int) and not isinstance(value, bool) else value for value in row] for row in answer.rows]
    show_table(answer.columns, rows, right=numbers)
    out().print(f"{len(answer.rows)} row{'' if len(answer.rows) == 1 else 's'}")


def _csv(answer: Answer) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(answer.columns)
    lines.writerows([[instant(value) if isinstance(value, datetime) else value for value in row] for row in answer.rows])
    return text.getvalue()
