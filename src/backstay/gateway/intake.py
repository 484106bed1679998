"""From a parsed head to an Exchange: what a request must be before anybody judges it. Pure.

httptools (llhttp, strict) has refused bare line feeds, folded headers, control characters, two
Content-Lengths and Content-Length beside Transfer-Encoding. Here falls what it lets through.
"""

from functools import lru_cache

from backstay.core.errors import Fault
from backstay.gateway.errors import (
    BAD_CODING,
    BAD_EXPECTATION,
    BAD_VERSION,
    MALFORMED,
    UPGRADE_REFUSED,
)
from backstay.gateway.exchange import Exchange
from backstay.gateway.wire import Fields, named_by_connection, seen_path, split_target

_ONCE = frozenset({"host", "authorization", "content-length", "transfer-encoding", "expect"})


def read_request(
    method: bytes, target: bytes, headers: Fields, version: str, peer: str, began: float
) -> Exchange:
    """The exchange; a request that must not be served carries its Fault and ends the connection."""
    exchange = Exchange(method.decode("ascii"), target, headers, peer, began)
    try:
        exchange.http10 = version == "1.0"
        if version not in ("1.1", "1.0"):
            raise Fault(BAD_VERSION, version=version)
        _read_fields(exchange)
        _read_framing(exchange)
        if exchange.method == "CONNECT":
            raise Fault(UPGRADE_REFUSED, protocol="CONNECT")
        _read_target(exchange)
    except Fault as fault:
        exchange.fault = fault
    return exchange


def field_name(name: bytes) -> str:
    """A header's name in lower case."""
    # The cache is everybody's: long names, which nobody needs twice, must not fill it.
    return _short_name(name) if len(name) <= 64 else name.decode("latin-1").lower()


@lru_cache(1024)
def _short_name(name: bytes) -> str:
    return name.decode("latin-1").lower()


def _read_fields(exchange: Exchange) -> None:
    fields: dict[str, str] = {}
    for name, value in exchange.headers:
        key = field_name(name)
        text = value.decode("latin-1")
        before = fields.get(key)
        if before is None:
            fields[key] = text
        elif key in _ONCE:
            raise Fault(MALFORMED, reason=f"the header {key} stands twice")
        else:
            fields[key] = f"{before}, {text}"
    exchange.fields = fields
    if "connection" in fields:
        exchange.named = named_by_connection(fields["connection"].encode("latin-1"))


def _read_framing(exchange: Exchange) -> None:
    fields = exchange.fields
    coding = fields.get("transfer-encoding")
    if coding is not None:
        if exchange.http10:
            raise Fault(MALFORMED, reason="Transfer-Encoding does not exist in HTTP/1.0")
        if coding.strip().lower() != "chunked":
            raise Fault(BAD_CODING, given=coding[:100])
        exchange.framing = "chunked"
    elif "content-length" in fields:
        exchange.framing = "length"
        exchange.length = int(fields["content-length"])
    expected = fields.get("expect")
    if expected is not None and not exchange.http10:
        if expected.strip().lower() != "100-continue":
            raise Fault(BAD_EXPECTATION, given=expected[:100])
        exchange.expects = True
    if "upgrade" in fields and b"upgrade" in exchange.named:
        _judge_upgrade(exchange, fields["upgrade"])


def _judge_upgrade(exchange: Exchange, protocol: str) -> None:
    # Java's client offers h2c with every first request and takes HTTP/1.1 for an answer; with a
    # body, though, the parser cannot tell the body from the other protocol's bytes.
    if protocol.strip().lower() != "h2c" or exchange.framing != "none":
        raise Fault(UPGRADE_REFUSED, protocol=protocol[:100])


def _read_target(exchange: Exchange) -> None:
    host = exchange.fields.get("host")
    target = exchange.target
    if target.startswith(b"/"):
        if host is None and not exchange.http10:
            raise Fault(MALFORMED, reason="the header host is missing")
    else:
        exchange.target, authority = split_target(target)
        # RFC 9112, 3.2.2: the authority of an absolute target replaces Host.
        kept = [field for field in exchange.headers if field_name(field[0]) != "host"]
        exchange.headers = [(b"Host", authority), *kept]
        exchange.fields = {**exchange.fields, "host": authority.decode("latin-1")}
    exchange.path = seen_path(exchange.target)
