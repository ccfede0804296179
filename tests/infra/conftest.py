"""One synthesis for all template tests. Importing `infra` first points jsii at the packaged node."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

import infra.lakehouse as lakehouse
from infra.bundling import bundles_of
from tests.infra.tides import lake
from tests.workers import alone, shared_folder


@dataclass(frozen=True)
class Assembly:
    """What a synthesis left: templates by environment and part."""

    folder: Path

    def template(self, environment, part):
        return json.loads((self.folder / f"sluice-{environment}-{part}.template.json").read_text())

    def stacks(self, environment):
        artifacts = json.loads((self.folder / "manifest.json").read_text())["artifacts"]
        return [one for id, one in artifacts.items() if id.startswith(f"sluice-{environment}-") and one["type"] == "aws:cloudformation:stack"]

    def resources(self, environment, part, type):
        return {id: one for id, one in self.template(environment, part)["Resources"].items() if one["Type"] == type}

    def properties(self, environment, part, type):
        """Of all resources of a type, in the template's order."""
        return [one["Properties"] for one in self.resources(environment, part, type).values()]


def synthesize(folder, *, only=None, made=None, **context):
    made = made or lake()
    app = lakehouse.new_app(str(folder), **context)
    with bundles_of(made) as bundles:
        for environment in made.environments.values():
            if only in (None, environment.name):
                lakehouse.add_lakehouse(app, lake=made, environment=environment, bundles=bundles)
        app.synth()
    return Assembly(folder)


@pytest.fixture(scope="session")
def assembly(tmp_path_factory):
    shared = shared_folder(tmp_path_factory, "assembly")
    made = shared / "made"
    with alone(shared):
        if not made.exists():
            synthesize(shared / "draft").folder.rename(made)
    return Assembly(made)
