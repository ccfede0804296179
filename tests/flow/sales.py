"""The retail lake's sales alone, as a lake of its own: fewer tables than a run of the whole lake can leave out."""

import re
import shutil
from pathlib import Path

from compiler import compile_lake
from local.places import ROOT
from shared.core.graph import needed_for, only

FACT = "gold.fact_sales"


def sales_lake(folder: Path) -> Path:
    """The lake in a new folder, less the other facts and all that only they need. (A run of one fact brings along the whole star.)"""
    shutil.copytree(ROOT / "lake", folder)
    lake = compile_lake(folder)
    other_facts = {table.name for table in lake.tables if table.relationships} - {FACT}
    kept = needed_for(only(lake, {table.name for table in lake.tables} - other_facts), [FACT])
    for table in lake.tables:
        if table.name not in kept:
            for file in (folder / table.layer).glob(f"{table.name.partition('.')[2]}.*"):
                file.unlink()
    environments = folder / "environments.toml"  # a server that no table reads is refused
    environments.write_text(re.sub(r', web(-data)? = ("[^"]*"|\[[^]]*\])', "", environments.read_text()))
    return folder
