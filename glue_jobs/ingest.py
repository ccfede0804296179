"""Glue job: reads the sources of one group into bronze."""

from shared.core.steps.ingest import ingest
from shared.job import run_job

if __name__ == "__main__":
    run_job("ingest", ingest)
