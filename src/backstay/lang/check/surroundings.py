"""Settings of `config` that are known by name: a slip in one of them is said, a setting of another
name is somebody's own."""

from collections.abc import Mapping

from backstay.core.nearest import nearest
from backstay.lang import errors as e
from backstay.lang import syntax as s
from backstay.lang.check.world import Checker

KNOWN: Mapping[str, tuple[str, ...]] = {
    "database": (
        "pool_size",
        "timeout",
        "connection",
        "host",
        "port",
        "name",
        "user",
        "password",
        "sslmode",
        "url",
    ),
    "cache": ("ttl", "prefix", "url", "host", "port"),
    "cors": ("origins", "methods", "headers", "max_age", "credentials"),
    "scheduler": (
        "queues",
        "concurrency",
        "shutdown_timeout",
        "default_retry",
        "default_timeout",
    ),
    "queues": ("critical", "default", "low"),
}
LABELS: Mapping[str, tuple[str, ...]] = {
    "database": ("postgres", "mongodb", "sqlite"),
    "cache": ("redis", "memory"),
}
_SHORT = 6


def slips(k: Checker, name: str, value: s.Value) -> None:
    """Reports words that are close to a known one and are none."""
    if isinstance(value, s.Labelled):
        _word(k, value.label, LABELS.get(name, ()), name)
        value = value.block
    known = KNOWN.get(name)
    if known is None or not isinstance(value, s.Block):
        return
    for member in value.members:
        if _meant(member.name.name, known) is not None:
            k.unknown(e.UNKNOWN_MEMBER, member.name, known, block=name)
        slips(k, member.name.name, member.value)


def _word(k: Checker, word: s.Ident, known: tuple[str, ...], name: str) -> None:
    if _meant(word.name, known) is not None:
        k.unknown(e.UNKNOWN_WORD, word, known, what=name)


def _meant(name: str, known: tuple[str, ...]) -> str | None:
    """The known word that was meant. `port` is no slip of `host`: in a short word two letters are
    too many."""
    if name in known:
        return None
    return nearest(name, known, 1 if len(name) < _SHORT else 3)
