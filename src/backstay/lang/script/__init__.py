"""The script part of the language: `var`, assignment, `if`, `for`, `function`, `print`, `len`."""

from backstay.lang.script.interpreter import run
from backstay.lang.script.machine import Limits, Outside
from backstay.lang.script.testing import Outcome, run_tests
from backstay.lang.script.world import functions

__all__ = ["Limits", "Outcome", "Outside", "functions", "run", "run_tests"]
