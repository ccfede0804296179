"""The compiled lake as frozen dataclasses, and their JSON form. Imports the standard library alone.

lake.py         Lake, Table, Column, Rule, Source: what the compiler made of `lake/`
history.py      what compiler and engine must agree on about histories
environment.py  Environment: what `lake/environments.toml` says of one deployment
stored_types.py which types a stored column takes on by itself
codec.py        dataclass <-> JSON, strict in both directions
"""
