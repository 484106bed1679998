"""The contract suite of all engines, every test of it, on the redis engine: `bench` is that of this
folder here."""

import importlib
from pathlib import Path

import tests.contract.queue.conftest as contract

for module in sorted(Path(contract.__file__).parent.glob("test_*.py")):
    found = vars(importlib.import_module(f"tests.contract.queue.{module.stem}"))
    globals().update({name: each for name, each in found.items() if name.startswith("test_")})
