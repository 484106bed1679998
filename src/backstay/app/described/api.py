"""`/openapi.json` and `/docs`, at the root of the server's address and, so that a gateway in front
passes them on, under /api/v1. The page needs nothing from elsewhere.

Both are public: what a program can do is no secret of its rows.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib import resources

import msgspec

from backstay.app.plan.endpoints import PREFIX
from backstay.core.web import Endpoint, Handler, Request, Response
from backstay.lang.openapi import document
from backstay.lang.program import Program

_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def routes(program: Program, taken: Sequence[Endpoint]) -> list[Endpoint]:
    """Both at both places, but where the program has an endpoint of its own."""
    told = _always(Response(200, msgspec.json.encode(document(program))))
    text = (resources.files("backstay.app.described") / "page.html").read_text(encoding="utf-8")
    page = _always(
        Response(
            200,
            text.encode(),
            b"text/html; charset=utf-8",
            ((b"content-security-policy", _policy(text).encode()), (b"x-frame-options", b"DENY")),
        )
    )
    own = {(each.method, each.path) for each in taken}
    return [
        Endpoint("GET", f"{place}/{name}", handler)
        for place in ("", PREFIX)
        for name, handler in (("openapi.json", told), ("docs", page))
        if ("GET", f"{place}/{name}") not in own
    ]


def _always(response: Response) -> Handler:
    async def handler(_: Request) -> Response:
        return response

    return handler


def _policy(page: str) -> str:
    """Only the page's own script and style, and only this server to talk to."""
    script, style = (
        " ".join(f"'sha256-{_digest(part)}'" for part in found.findall(page))
        for found in (_SCRIPT, _STYLE)
    )
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
