"""Wiring of the Glue jobs: arguments to ports to one step. Ships with the jobs alone, and is the only module that knows AWS and Spark both."""

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial

from shared.aws.secrets import Secrets
from shared.aws.wiring import LambdaPorts, utc_now
from shared.core.errors import SecretMissing, SluiceError
from shared.core.job import Job, JobContext
from shared.core.ports import Task
from shared.spark.refusals import SPARK_FAILED, without_values
from shared.spark.session import spark_session
from shared.spark.silence import silence
from shared.spark.sources import Connection, EverySource, FileSources, JdbcSources
from shared.spark.tables import SparkTables
from shared.spec.environment import Environment
from shared.spec.lake import Server, Stage, Table, shipped_lake
from shared.telemetry.log import job_log

_TABLES_AT_ONCE = 4  # most of a small table's time is planning, on the driver's cores

Step = Callable[[JobContext], None]


def run_job(stage: Stage, step: Step, argv: Sequence[str] | None = None) -> None:
    """Do one step as one Glue run. An error of ours ends the process with its name and message as the last line: Glue's ErrorMessage.

    One of Spark's ends it without its message, which may show a value of a row.
    """
    try:
        step(job_context(stage, argv))
    except SluiceError as error:
        message = " ".join(str(error).split())
        raise SystemExit(f"{type(error).__name__}: {message}") from error
    except SPARK_FAILED as failed:
        raise SystemExit(f"Spark failed: {without_values(failed)}") from None


def job_context(stage: Stage, argv: Sequence[str] | None = None) -> JobContext:
    """The ports of a job, by its arguments and the lake that was shipped with it."""
    arguments = _parser().parse_known_args(argv)[0]
    pinned = shipped_lake()
    environment = pinned.lake.environment(arguments.environment)
    ports = LambdaPorts.of(pinned, environment)
    secrets = Secrets(environment)
    name = environment.job(stage)
    spark = spark_session(name)
    if stage == "ingest":
        silence(spark)
    databases = JdbcSources(spark=spark, environment=environment.name, connect=lambda table, server: connection(table, server, secrets, environment))
    sources = EverySource(databases=databases, files=FileSources(spark=spark, environment=environment.name))
    return JobContext(
        job=Job(
            run=arguments.run,
            fence=arguments.fence,
            stage=stage,
            group=arguments.group,
            glue_run=arguments.JOB_RUN_ID,
            target=arguments.target,
        ),
        pinned=pinned,
        max_windows=environment.max_windows,
        state=ports.state,
        documents=ports.documents,
        delta_log=ports.delta_log,
        executions=ports.executions,
        log=job_log(name, arguments.run, environment=environment.name),
        clock=utc_now,
        tables=SparkTables(spark=spark, root=f"s3://{environment.bucket}", lake=pinned.lake, sources=sources, mask_key=secrets.mask_key),
        sources=sources,
        do_all=partial(do_all, min(_TABLES_AT_ONCE, spark.sparkContext.defaultParallelism)),
    )


def do_all(threads: int, tasks: Sequence[Task]) -> None:
    """All tasks, so many at a time, each after those it needs; of those that can begin the first ones do.

    The first error is raised, when every task that had begun is done: no write goes on behind its back, and no other begins.
    """
    waiting, running = list(tasks), dict[Future[None], str]()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        while waiting or running:
            unfinished = {task.name for task in waiting} | set(running.values())
            ready = [task for task in waiting if not unfinished & task.needs]
            for task in ready[: threads - len(running)]:
                waiting.remove(task)
                running[pool.submit(task.do)] = task.name
            if not running:
                raise AssertionError(f"{', '.join(task.name for task in waiting)}: wait for each other")
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                del running[ended]
                ended.result()


def connection(table: Table, server: Server, secrets: Secrets, environment: Environment) -> Connection:
    """Where a table's server is: what its secret says wins over the contract. Raises SecretMissing naming what neither of them says."""
    held = secrets.server(server.name)
    host, port, database = held.host or server.host, held.port or server.port, held.database or server.database
    if host is None or port is None or database is None:
        absent = ", ".join(name for name, value in (("host", host), ("port", port), ("database", database)) if value is None)
        raise SecretMissing(
            f"{table.file}: server '{server.name}' of {environment.name} has no {absent}; write it there or into the secret that "
            f"lake/environments.toml [environments.{environment.name}] secrets.servers.{server.name} names"
        )
    return Connection(
        host=host,
        port=port,
        database=database,
        username=held.username,
        password=held.password,
        schema=server.schema,
        account=server.account,
        warehouse=held.warehouse or server.warehouse,
        role=held.role,
    )


def _parser() -> argparse.ArgumentParser:
    """Glue hands a script its own arguments too: unknown ones are ignored, and none is abbreviated."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("--environment", "--run", "--group", "--JOB_RUN_ID"):
        parser.add_argument(name, required=True)
    parser.add_argument("--fence", required=True, type=int)
    parser.add_argument("--target")
    return parser
