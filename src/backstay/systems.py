"""Every system by dotted name, resolved on use: importing this table costs nothing."""

import importlib
from collections.abc import Mapping
from typing import Any

from backstay.core.guide import Guide
from backstay.core.system import System

SYSTEMS: Mapping[str, str] = {
    "queue": "backstay.queue.system:SYSTEM",
    "app": "backstay.app.system:SYSTEM",
    "gateway": "backstay.gateway.system:SYSTEM",
    "patchgen": "backstay.patchgen.system:SYSTEM",
}

GUIDES: Mapping[str, str] = {
    "queue": "backstay.queue.guides:GUIDES",
    "app": "backstay.app.guides:GUIDES",
    "gateway": "backstay.gateway.guides:GUIDES",
    "patchgen": "backstay.patchgen.guides:GUIDES",
    "up": "backstay.up.guides:GUIDES",
}
"""Troubleshooting guides by the system that owns them. They are static: a dead system has them."""


def guides() -> tuple[Guide, ...]:
    """All troubleshooting guides of the installed package, in the order of the table."""
    return tuple(guide for dotted in GUIDES.values() for guide in _attribute(dotted))


def resolve(name: str) -> System:
    """The declarations of a system. Raises KeyError for a name that is not in the table."""
    found: System = _attribute(SYSTEMS[name])
    return found


def _attribute(dotted: str) -> Any:
    module, _, attribute = dotted.partition(":")
    return getattr(importlib.import_module(module), attribute)
