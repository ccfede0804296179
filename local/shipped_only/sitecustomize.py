"""Python runs this at start in every job and Lambda of the laptop: the checkout leaves `sys.path`, so that only what was shipped can be imported."""

import sys
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != _CHECKOUT]
