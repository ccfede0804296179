"""What a driver kept ready knows of the code its jobs are deployed with."""

import importlib
import sys
import zipfile

from local.driver_host import bring


def library(folder, name, text):
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("deployed_library/__init__.py", "")
        archive.writestr("deployed_library/answers.py", f"TEXT = {text!r}\n")
    return str(path)


def told():
    return importlib.import_module("deployed_library.answers").TEXT


def test_code_of_a_new_deployment_takes_the_place_of_the_former(tmp_path, monkeypatch):
    """What was imported from the former is forgotten, and nothing else is."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    first, second = (library(tmp_path, name, f"of the {name}") for name in ("first", "second"))
    kept = sys.modules["zipfile"]

    held = bring([first], in_place_of=[])
    texts = [told()]
    held = bring([first], in_place_of=held)
    texts.append(told())
    same = sys.modules["deployed_library"]
    held = bring([second], in_place_of=held)
    texts.append(told())

    assert ["of the first", "of the first", "of the second"] == texts
    assert same is not sys.modules["deployed_library"]
    assert kept is sys.modules["zipfile"]
    assert [second] == held == sys.path[:1]
    assert first not in sys.path
    bring([], in_place_of=held)
    assert "deployed_library.answers" not in sys.modules
