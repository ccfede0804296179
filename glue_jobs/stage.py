"""Glue job: computes the change sets of one group of gold tables."""

from shared.core.steps.stage import stage
from shared.job import run_job

if __name__ == "__main__":
    run_job("stage", stage)
