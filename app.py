"""Composition root: the lake and its environments become stacks. `SLUICE_LAKE` names the lake's folder, `-c env=dev` one environment."""

import os
from pathlib import Path

from compiler import compile_lake
from infra.bundling import bundles_of
from infra.lakehouse import add_lakehouse, chosen_environments, new_app

lake = compile_lake(Path(os.environ.get("SLUICE_LAKE", "lake")))
app = new_app()
with bundles_of(lake) as bundles:
    for environment in chosen_environments(app, lake):
        add_lakehouse(app, lake=lake, environment=environment, bundles=bundles)
    app.synth()
