"""Glue job: merges the batches that passed into the silver tables of one group."""

from shared.core.steps.refine import refine
from shared.job import run_job

if __name__ == "__main__":
    run_job("refine", refine)
