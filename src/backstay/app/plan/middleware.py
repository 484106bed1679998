"""`middleware NAME { type … config { … } }` as what an endpoint demands of a request.

There is no chain of functions at run time: whoever has to be known, and by which role, is part of
the plan. Every request is logged as it is. What would be ignored is refused.
"""

from typing import Literal

import msgspec

from backstay.app.errors import UNFIT
from backstay.core.duration import parse_duration
from backstay.core.errors import Fault
from backstay.lang.program import Constant, Endpoint, Middleware, Program, Rate

Auth = Literal["public", "optional", "required"]
_STRENGTH: tuple[Auth, ...] = ("public", "optional", "required")
_KNOWN = {
    "authentication": ("provider", "required"),
    "authorization": ("role",),
    "logging": (),
    "rate_limiting": ("requests", "window", "strategy"),
}


class Demanded(msgspec.Struct, frozen=True):
    """`roles`: of each group one is wanted."""

    auth: Auth
    roles: tuple[tuple[str, ...], ...]


def expect_known(program: Program) -> None:
    """Raises APP005 for a middleware that could only be ignored, used or not."""
    for each in program.middleware:
        _config(each)
    rates(program)


def demanded(program: Program, endpoint: Endpoint) -> Demanded:
    """What the endpoint and its middleware demand together: of two words the stricter counts.

    Raises APP005 for an authorization without a role.
    """
    auth = endpoint.auth
    groups = [group for group in (endpoint.roles, _only(endpoint.require_role)) if group]
    for name in endpoint.middleware:
        used = next(each for each in program.middleware if each.name == name)
        config = _config(used)
        if used.type == "authentication":
            optional = config.get("required") is False
            auth = max(auth, "optional" if optional else "required", key=_STRENGTH.index)
        elif used.type == "authorization":
            groups.append(_only(_role(used, config)))
            auth = "required"
    return Demanded(auth, tuple(groups))


def rates(program: Program) -> dict[str, Rate]:
    """What each `rate_limiting` lets one caller ask, by its name. Raises APP005."""
    return {
        each.name: _rate(each, _config(each))
        for each in program.middleware
        if each.type == "rate_limiting"
    }


def _rate(used: Middleware, config: dict[str, object]) -> Rate:
    requests, window = config.get("requests"), config.get("window")
    if config.get("strategy", "token_bucket") != "token_bucket":
        problem = f"the strategy {config['strategy']} is not supported in this version"
        raise _unfit(used, problem, "write strategy: token_bucket, or leave it out")
    try:
        seconds = parse_duration(window) if isinstance(window, str) else window
    except ValueError:
        seconds = None
    if not isinstance(requests, int) or isinstance(requests, bool) or requests < 1:
        raise _unfit(used, "requests is no whole number from 1 on", "write requests: 100")
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds <= 0:
        raise _unfit(used, "window is no time", "write window: 1m")
    return Rate(requests, float(seconds))


def _config(used: Middleware) -> dict[str, object]:
    known = _KNOWN.get(used.type)
    if known is None:
        problem = f"the type {used.type} is not supported in this version"
        raise _unfit(used, problem, f"it knows {', '.join(_KNOWN)}")
    found = dict(used.config.values)
    for name, value in found.items():
        if name not in known or not isinstance(value, Constant):
            known_ones = ", ".join(known) or "nothing"
            raise _unfit(used, f"{name} would be ignored", f"{used.type} knows {known_ones}")
    return {name: value.value for name, value in found.items() if isinstance(value, Constant)}


def _role(used: Middleware, config: dict[str, object]) -> str:
    role = config.get("role")
    if not isinstance(role, str) or not role:
        raise _unfit(used, "it names no role", "write config { role: … }")
    return role


def _only(role: str) -> tuple[str, ...]:
    return (role,) if role else ()


def _unfit(used: Middleware, problem: str, instead: str) -> Fault:
    return Fault(UNFIT, where=f"middleware {used.name}", problem=problem, instead=instead)
