"""`@auth("jwt")`, `@deprecated` and `@rate_limit("100")` of endpoints of the first version."""

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.blocks import Members
from backstay.lang.check.world import Checker

_WORDS = ("public", "optional", "required", "none")
_MINUTE = 60.0


class Annotated:
    """The annotations of one endpoint; `all` are their names and values. Those that mean nothing
    here are noted, and a runtime refuses them."""

    def __init__(self, k: Checker, node: s.Declaration, members: Members) -> None:
        self._k = k
        self._members = members
        self.all = tuple((each.name.name, _value(each)) for each in node.annotations)
        for each in node.annotations:
            self._judge(each)
            if not self._runs(each.name.name):
                k.note("declaration.annotation", each.span)

    def _judge(self, node: s.Annotation) -> None:
        name, value = node.name.name, _value(node)
        if name == "auth" and not value:
            what, fix = "@auth needs a value", 'write @auth("jwt")'
            self._k.error(e.SETTING, node.span, what=what, fix=fix)
        if name == "rate_limit" and not value.isdigit():
            what, fix = "@rate_limit needs a number", 'write @rate_limit("100")'
            self._k.error(e.SETTING, node.span, what=what, fix=fix)

    def _runs(self, name: str) -> bool:
        """Beside a member that says the same, one of the two would be ignored."""
        if name == "auth":
            return self._k.world.knows_users and "auth" not in self._members
        return name == "deprecated" or (name == "rate_limit" and name not in self._members)

    def auth(self) -> str:
        """The word for `auth`: a provider's name wants a user. Empty without the annotation."""
        value = dict(self.all).get("auth", "") if self._k.world.knows_users else ""
        return value if value in _WORDS or not value else "required"

    def rate(self) -> p.Rate | None:
        """So many in a minute."""
        told = dict(self.all).get("rate_limit", "")
        if "rate_limit" in self._members or not (told.isascii() and told.isdigit() and int(told)):
            return None
        return p.Rate(int(told), _MINUTE)


def _value(node: s.Annotation) -> str:
    return str(node.value.value) if node.value else ""
