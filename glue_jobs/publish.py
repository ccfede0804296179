"""Glue job: applies the change sets that gold's gate passed, of its own run or of one that it recovers."""

from shared.core.steps.publish import publish
from shared.job import run_job

if __name__ == "__main__":
    run_job("publish", publish)
