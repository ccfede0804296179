"""The `sluice` command. Imported by nobody but tests.

main.py       the program: global options, every group, the one place where errors become words and exit codes
lakes.py      opening a lake: compiled contracts, environment, clients, ports
render.py     tables, numbers, JSON: what goes to the terminal
errors.py     what the command line itself refuses

compile.py plan.py run.py status.py runs.py rejects.py sql.py bypass.py laptop.py shop.py doctor.py demo.py contracts.py    one file per command or
group

machine.py    one execution of the state machine: start it, look at it
follow.py     what changed between two looks, live or line by line
outcome.py    what a run came to: batches, verdicts, certified versions, where to read on
queries.py    one SELECT over `layer.table` names: what it may be, what it reads
duck.py       such a query on the laptop: certified Delta versions in DuckDB; and of bronze anywhere
athena.py     such a query on AWS
rejected.py   rejected rows of certified bronze: counted, or one by one
objects.py    what lies where tables of files read
checks.py     what this machine needs, and the fix for what is missing
doctor_found.py    a line about an environment on AWS, and how AWS is asked; doctor_account.py doctor_formation.py doctor_quotas.py doctor_sources.py
                   doctor_names.py doctor_schedule.py look at one thing each
ledger.py     the planted faults against the rejects, row for row
story.py      the pages that `sluice demo` tells
add_described.py    a source's table as values; add_source.py reads it; add_types.py add_personal.py add_position.py add_proposal.py add_text.py
                    make contracts of it
"""
