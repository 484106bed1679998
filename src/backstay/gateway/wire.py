"""HTTP/1.1 as bytes: which headers pass, how heads are written, which paths are refused. Pure.

What may not pass is decided here for both directions: hop-by-hop headers (RFC 9110, 7.6.1) and
everything by which a client could pretend to be the gateway.
"""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from backstay.core.context import NARROW_HEADER, PRINCIPAL_HEADER
from backstay.core.errors import Fault
from backstay.gateway.errors import BAD_PATH

Fields = Sequence[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# The gateway is the outermost listener: what it says about a client is its own observation.
NOT_FROM_CLIENTS = HOP_BY_HOP | {
    PRINCIPAL_HEADER.encode(),
    b"expect",
    b"content-length",
    b"x-request-id",
    b"x-debug",
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"forwarded",
    b"http2-settings",
}
_NARROW = NARROW_HEADER.encode()
NOT_FROM_UPSTREAMS = HOP_BY_HOP | {
    b"content-length",
    b"x-request-id",
    PRINCIPAL_HEADER.encode(),
    _NARROW,
}
# A `Connection: host` must not make the next server see another request than we judged.
_NEVER_NAMED = frozenset({b"host", b"authorization", b"cookie"})

STATUS_LINES = {
    int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n".encode() for status in HTTPStatus
}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def status_line(status: int) -> bytes:
    """The first line of an answer, with the phrase where one is registered."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def named_by_connection(value: bytes) -> frozenset[bytes]:
    """The headers that a `Connection` header declares as hop-by-hop."""
    return frozenset(part.strip() for part in value.lower().split(b",")) - _NEVER_NAMED


def passing(fields: Fields, drop: frozenset[bytes], named: frozenset[bytes]) -> Iterable[bytes]:
    """Header lines that pass, spelled as they came."""
    if named:
        drop = drop | named
    return [b"%b: %b\r\n" % field for field in fields if field[0].lower() not in drop]


def is_narrow(fields: Fields) -> bool:
    """Whether an upstream says that its answer speaks of this request alone."""
    return any(name.lower() == _NARROW for name, _ in fields)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def seen_path(target: bytes) -> str:
    """The path of a request target as an upstream will see it: without query, percent-decoded.

    Routes and their locks are chosen by it. Raises GATE020 for what could be read in two ways.
    """
    path = target.partition(b"?")[0]
    if b"%" in path:
        path = unquote_to_bytes(path)
    if b"/." in path and not {b".", b".."}.isdisjoint(path.split(b"/")):
        raise Fault(BAD_PATH, path=_shown(path), reason="it has dot segments")
    if b"\\" in path or b"\0" in path:
        raise Fault(BAD_PATH, path=_shown(path), reason="it has a backslash or a NUL")
    return path.decode("utf-8", "replace")


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """(origin form, authority) of a request target; authority is empty unless it was absolute.

    Raises GATE020 when the target is neither.
    """
    if target.startswith(b"/"):
        return target, b""
    scheme, found, rest = target.partition(b"://")
    if not found or scheme.lower() not in (b"http", b"https"):
        raise Fault(BAD_PATH, path=_shown(target), reason="it does not begin with /")
    authority, slash, path = rest.partition(b"/")
    if b"?" in authority or b"@" in authority:
        raise Fault(BAD_PATH, path=_shown(target), reason="its authority is not a plain host")
    return slash + path or b"/", authority


def clean_request_id(given: str) -> str:
    """A given request id, or nothing when it could break a log line or a header."""
    return given if len(given) <= 128 and given.isascii() and given.isprintable() else ""


def _shown(path: bytes) -> str:
    return path[:200].decode("latin-1")
