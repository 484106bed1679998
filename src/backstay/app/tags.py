"""ETags: what a client saw, so that it changes no row that another has changed since (RFC 9110).

A tag is a hash of the bytes that a GET answers with: the same bytes on both databases, by the same
rules for the same reader.
"""

import hashlib

from backstay.core.web import Headers, Request, Response

_BYTES = 16


def tag_of(body: bytes) -> str:
    """A strong tag, quotes included."""
    return f'"{hashlib.blake2b(body, digest_size=_BYTES).hexdigest()}"'


def tagged(request: Request, status: int, body: bytes) -> Response:
    """The answer with its tag; 304 without a body for a client that has these bytes."""
    tag = tag_of(body)
    headers: Headers = ((b"etag", tag.encode()),)
    known = request.headers.get("if-none-match")
    if known is not None and _names(known, tag, weakly=True):
        return Response(304, b"", headers=headers)
    return Response(status, body, headers=headers)


def matches(given: str, body: bytes) -> bool:
    """Whether `If-Match` holds for what a GET would answer now."""
    return _names(given, tag_of(body), weakly=False)


def _names(given: str, tag: str, *, weakly: bool) -> bool:
    """A list of tags, or `*`. A weak tag never says that bytes are the same."""
    if given.strip() == "*":
        return True
    listed = [each.strip() for each in given.split(",")]
    return tag in [each.removeprefix("W/") if weakly else each for each in listed]
