"""Decisions and the order of effects, without I/O: standard library and `shared.spec` alone; the clock comes in as an argument.

errors.py    the family of errors (a tree in its docstring)
layout.py    where things lie in the bucket
messages.py  state items, evidence, decisions
run_documents.py what plan wrote down for a run, what a gate decided
events.py    what the Lambdas are asked and answer
ports.py     the seams to the outside world
window.py    how a source is cut into windows
files.py     how a source of files is cut into batches
widening.py  whether a source's type holds more than the contract's
totals.py    what a source's batches add up to
replay.py    which rejects may be injected again, and how
batches.py   when a batch's earlier commit may be reused
verdict.py   what a count means for a rule, a batch, a table
bypass.py    which exceptions from a rule may be granted
trust.py     whether evidence may be believed
graph.py     what a table needs; what a halted table holds back; what has work to do
choice.py    what a run is asked for
standing.py  what a run finds before it begins
upcoming.py  what the next run would read of a source
forecast.py  what the next run would do
job.py       what every Glue job does first: claim, pin, guard
steps/       one module per state of the machine: the order of effects, through ports
"""
