"""`role editor { permissions: ["articles:*"] }`: what a role of the program lets its holder do.

A permission is asked for like a role, by `user.has("articles:read")` or `roles: [ … ]`. In a
declared one `*` stands for any single part between colons. Permissions count inside the program
alone: the runtime's own routes want the scope of a token.
"""

from collections.abc import Mapping

import msgspec

from backstay.core.context import Principal
from backstay.lang.program import Program

_Parts = tuple[str, ...]


class Granted(Principal, frozen=True):
    """A principal with the permissions of its roles."""

    permissions: tuple[_Parts, ...] = ()

    def may(self, scope: str) -> bool:
        """Whether it holds the scope, or a permission that covers it."""
        if Principal.may(self, scope):
            return True
        wanted = tuple(scope.split(":"))
        return any(_covers(held, wanted) for held in self.permissions)


class Grants:
    """The roles of one program."""

    def __init__(self, program: Program) -> None:
        self._roles: Mapping[str, tuple[_Parts, ...]] = {
            role.name: tuple(tuple(each.split(":")) for each in role.permissions)
            for role in program.roles
            if role.permissions
        }

    def of(self, who: Principal) -> Principal:
        """The principal as the program sees it."""
        held = [each for role in who.roles for each in self._roles.get(role, ())]
        if not held:
            return who
        return Granted(**msgspec.structs.asdict(who), permissions=tuple(sorted(set(held))))


def _covers(held: _Parts, wanted: _Parts) -> bool:
    return len(held) == len(wanted) and all(
        mine in ("*", asked) for mine, asked in zip(held, wanted, strict=True)
    )
