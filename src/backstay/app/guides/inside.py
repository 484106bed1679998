"""The probes that the app's process answers itself: what keeps it from answering silences all.

A cause that lists them says how likely each is well, too: where only trouble were listed, every
answer that is well would speak against the cause.
"""

from collections.abc import Mapping

from backstay.core.guide import LATE

_WELL: Mapping[str, str] = {
    "app.database": "works",
    "app.postgres": "works",
    "app.locks": "free",
    "app.cache": "memory",
    "app.queries": "quick",
    "app.requests": "quick",
    "app.memory": "fine",
    "app.tasks": "few",
    "app.breakers": "closed",
    "app.work": "works",
    "app.standing": "goes-on",
}
INSIDE = tuple(_WELL)


def all_late(but: str, likelihood: float) -> Mapping[str, Mapping[str, float]]:
    """How likely it is that each of them, but one, answers too late."""
    return {name: well(name, {LATE: likelihood}) for name in ("app.live", *INSIDE) if name != but}


def well(name: str, trouble: Mapping[str, float]) -> Mapping[str, float]:
    """What a cause expects of a probe that may show this trouble and is mostly well."""
    return {**trouble, _WELL.get(name, "ready"): 0.98 - sum(trouble.values())}


def may_show(**trouble: Mapping[str, float]) -> Mapping[str, Mapping[str, float]]:
    """The same for several probes, by their names without `app.`."""
    return {f"app.{name}": well(f"app.{name}", each) for name, each in trouble.items()}
