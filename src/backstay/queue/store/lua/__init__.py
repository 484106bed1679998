"""The Lua of the redis engine: files of one subject each, put together to the scripts that run.

In front of each script stand names for its keys and for the places of a record's fields, made from
`redis_layout`, so that neither is written down twice.
"""

import hashlib
from importlib.resources import files

import msgspec

from backstay.queue.model import Periodic
from backstay.queue.store.redis_layout import KEYS, Record


class Script(msgspec.Struct, frozen=True):
    """Its text, and the name the server knows it by."""

    name: str
    text: str
    sha: str


def _text(name: str) -> str:
    return files(__name__).joinpath(f"{name}.lua").read_text(encoding="utf-8")


def _names() -> str:
    keys = ", ".join(f"KEY_{key.upper()}" for key in KEYS)
    fields = Record.__struct_fields__
    places = ", ".join(name.upper() for name in fields)
    numbers = ", ".join(str(at) for at in range(1, len(fields) + 1))
    calendar = Periodic.__struct_fields__
    return (
        f"local {keys} = unpack(KEYS)\nlocal {places} = {numbers}\n"
        f"local PERIODIC_NEXT_AT = {calendar.index('next_at') + 1}\n"
        f"local PERIODIC_LAST_AT = {calendar.index('last_at') + 1}\n"
    )


def _script(name: str, *parts: str, head: str = "") -> Script:
    text = head + "".join(_text(part) for part in parts)
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


_NAMES = _names()

APPLY = _script(
    "apply",
    *("head", "call", "bounds", "places", "serve", "hold", "upkeep", "beside", "tail"),
    head=_NAMES,
)
AUDIT = _script("audit", "head", "call", "bounds", "places", "audit", "tail", head=_NAMES)
PEEK = _script("peek", "head", "peek", head=_NAMES)
STATS = _script("stats", "head", "stats", head=_NAMES)
TASK = _script("task", "head", "task", head=_NAMES)
PAGE = _script("page", "head", "page", head=_NAMES)
CLOCK = _script("clock", "clock")
FORGET = _script("forget", "head", "forget", head=_NAMES)
UNLIST = _script("unlist", "unlist")
NOTICES = _script("notices", "subscriptions")
