"""The script part of the language: `var`, assignment, `if`, `for`, `function`, `print`, `len`."""

from backstay.lang.script.interpreter import Limits, Outside, run

__all__ = ["Limits", "Outside", "run"]
