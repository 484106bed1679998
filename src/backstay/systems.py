"""Every system by dotted name, resolved on use: importing this table costs nothing."""

import importlib
from collections.abc import Mapping

from backstay.core.system import System

SYSTEMS: Mapping[str, str] = {
    "queue": "backstay.queue.system:SYSTEM",
    "app": "backstay.app.system:SYSTEM",
    "gateway": "backstay.gateway.system:SYSTEM",
}


def resolve(name: str) -> System:
    """The declarations of a system. Raises KeyError for a name that is not in the table."""
    module, _, attribute = SYSTEMS[name].partition(":")
    found: System = getattr(importlib.import_module(module), attribute)
    return found
