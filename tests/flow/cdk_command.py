"""The real `cdk` command line, as pinned, against a laptop: it knows no other endpoint, and what else it would send goes nowhere."""

import os
import subprocess
from pathlib import Path

from local.laptop import Laptop
from local.places import ROOT, node_binary

NOWHERE = "http://127.0.0.1:9"
TIMEOUT_S = 300
_UNPACKED = Path.home() / ".cache" / "aws" / "jsii" / "package-cache"  # where each synthesis looks for the CDK's packages


class Cdk:
    """`home` is the command's own home folder; assemblies lie there too, by the name they are asked by."""

    def __init__(self, laptop: Laptop, home: Path) -> None:
        self._laptop, self._home = laptop, home

    def bootstrap(self) -> str:
        aws = self._laptop.aws
        return self._run("bootstrap", f"aws://{aws.account}/{aws.region}", folder=self._home)

    def synthesize(self, name: str, **context: str) -> None:
        """The laptop's lake as it lies now, of the environment `local`, as the assembly `name`; what only warns in `cdk synth` is an error here."""
        chosen = [part for key, value in {"env": "local", **context}.items() for part in ("-c", f"{key}={value}")]
        self._run("synth", "--strict", "--quiet", *chosen, "--output", str(self._home / name))

    def deploy(self, name: str, *stacks: str) -> str:
        return self._run("deploy", *(stacks or ("--all",)), "--require-approval", "never", "--app", str(self._home / name))

    def differences(self, name: str) -> str:
        """What deploying would change; empty when nothing."""
        return self._run("diff", "--fail", "--app", str(self._home / name), allowed=(0, 1), empty=0)

    def destroy(self, name: str) -> str:
        return self._run("destroy", "--all", "--force", "--app", str(self._home / name))

    def _run(self, *arguments: str, folder: Path = ROOT, allowed: tuple[int, ...] = (0,), empty: int | None = None) -> str:
        kept = {key: os.environ[key] for key in ("LANG", "VIRTUAL_ENV") if key in os.environ}
        environment = {
            **kept,
            **self._laptop.aws.environment(),
            "PATH": f"{ROOT / '.venv' / 'bin'}:{node_binary().parent}:{os.environ['PATH']}",
            "HOME": str(self._home),
            "SLUICE_LAKE": str(self._laptop.lake),
            "JSII_NODE": str(node_binary()),
            "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(_UNPACKED),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "HTTP_PROXY": NOWHERE,
            "HTTPS_PROXY": NOWHERE,
            "NO_PROXY": "127.0.0.1",
        }
        command = [str(ROOT / "node_modules" / ".bin" / "cdk"), "--no-notices", "--no-color", *arguments]
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        said = done.stdout + done.stderr
        assert done.returncode in allowed, f"cdk {' '.join(arguments)} ended with {done.returncode}:\n{said}"
        return "" if done.returncode == empty else said
