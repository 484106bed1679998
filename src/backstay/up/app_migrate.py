"""`codeai migrate` put together: the program read and checked, its database opened."""

from collections.abc import Mapping
from pathlib import Path

from backstay.app.environment import read_environment
from backstay.app.migrating import Migrator
from backstay.app.settings import AppSettings
from backstay.core.clock import SystemClock, SystemDice, Uuid7
from backstay.up.app_server import read_program


def migrator(file: Path, settings: AppSettings, env: Mapping[str, str]) -> Migrator:
    """Not open yet. Raises UP005, UP018, UP019 for the program, APP002 for its environment."""
    program, clock = read_program(file), SystemClock()
    found = read_environment(program, env)
    return Migrator(settings, program, found, clock, Uuid7(clock), SystemDice())
