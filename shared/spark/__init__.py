"""The lake as Spark sees it. Imports pyspark, delta, `shared.core` and `shared.spec`; never boto3.

session.py    the SparkSession a job needs, refused when it is not so
sources/      the databases behind bronze, by one interface
masks.py      personal data stops here
rules.py      one rule of a contract -> what breaks it, what is missing
counting.py   rules over a frame -> counts as Great Expectations counts
invariants.py what breaks the invariants of a history
digests.py    canonical text and digests of rows and frames
frames.py     DataFrame -> DataFrame: conform, split, latest per key, change sets
landing.py    the plan of one batch of bronze, and its evidence
silver.py     bronze -> silver: latest per key, logs
history.py    events -> versions (SCD2)
from_log.py   what is made from a log: histories, latest states
inputs.py     what a computed table reads, and what changed in it
derived.py    computed tables: recipe, affected keys, change set
binding.py    `layer.table` names in a contract's SQL -> temporary views
store.py      the only module that touches paths: Delta tables, staged files, rejects
tables.py     `shared.core.ports.Tables` over all of it
"""
