"""The query of a request to these routes: pages, filters, choices. Raises APP208 for what no route
knows."""

from backstay.app.flow.errors import BAD_QUERY
from backstay.app.flow.views import Window
from backstay.core.errors import Fault
from backstay.core.web import Request

_LIMIT, _MOST = 20, 100


def one(request: Request, name: str) -> str:
    """The last value of this name, empty for none."""
    return (request.query.get(name) or [""])[-1]


def window_of(request: Request, *filters: str) -> Window:
    """Page and limit; besides them only `filters` may be asked for."""
    for name in request.query:
        if name not in ("limit", "page", *filters):
            known = ", ".join(("limit", "page", *filters))
            raise Fault(BAD_QUERY, name=name, value=one(request, name), expected=f"one of {known}")
    return Window(_number(request, "limit", _LIMIT, _MOST), _number(request, "page", 1, 10**6))


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = one(request, name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise Fault(BAD_QUERY, name=name, value=text, expected=f"a number from 1 to {most}")
    return int(text)


def filters_of(request: Request, *names: str) -> dict[str, str]:
    """Those of these names that were given."""
    return {name: one(request, name) for name in names if one(request, name)}


def choice_of(request: Request, name: str, known: tuple[str, ...]) -> dict[str, str]:
    """The value of this name, which is one of `known`."""
    value = one(request, name)
    if value and value not in known:
        raise Fault(BAD_QUERY, name=name, value=value, expected=f"one of {', '.join(known)}")
    return {name: value} if value else {}
