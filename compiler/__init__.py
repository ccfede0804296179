"""`lake/` -> the compiled lake, at development and synth time only. May import shared.spec, shared.core.errors, sqlglot, the ODCS model, ruamel.yaml.

lake.py           compile_lake: the whole of it, all problems at once
problems.py       Problem, Refused, "did you mean"
document.py       a YAML document with the line of everything in it
node.py           a value at its place: typed reading that refuses with file, line and fix
odcs.py           the document is an ODCS v3.1 contract
check.py          `python -m compiler.check FOLDER...`: against ODCS's own JSON schema, then compiled
environments.py   environments.toml -> Environment
files.py          which files make a lake
draft.py          Draft: a table between its files and its compiled form
contract.py       one contract file: first level, columns, load kind
columns.py        columns, masks, classification
readers.py        the roles that a contract opens its table to
sources.py        source, parallel reads, widening, servers
watermark.py      windows of a time, a date, a number
source_kinds.py   snapshots and files, in the place of windows
rules.py          every rule of a table; metrics.py, expectations.py and rule_values.py read its `quality`
spark_types.py    Spark's types, spelled one way
sql.py            SQL as text: parse, tables, determinism, conditions
queries.py        what a SELECT gives: columns, types, lineage
derived.py        the SQL of derive and replace against their contracts
copied.py         log, merge and scd2 against the table they are loaded from
graph.py          layers, cycles, order, groups, relationships
hashes.py         contract_hash and definition_hash
diff.py           two compiled lakes: changes, versions, what they reach; diff_tables.py weighs a table's, diff_rules.py a rule's, spans.py compares
"""

from compiler.lake import compile_lake
from compiler.problems import Problem, Refused

__all__ = ["Problem", "Refused", "compile_lake"]
