"""Who is asking is judged once, at the outermost listener (architecture section 4).

Behind it, systems listen on Unix sockets of mode 0600 and believe the judgement in
`PRINCIPAL_HEADER`; on TCP that header is never looked at. Three kinds, by construction: `socket`,
`loopback` (a person at this machine is `local`), `strict` (nobody is anybody without a token).
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

import structlog

from backstay.core import faults
from backstay.core.context import ANONYMOUS, LOCAL, PRINCIPAL_HEADER, Principal, decode_principal
from backstay.core.errors import Fault
from backstay.core.validators import Validator

_log = structlog.get_logger("core.trust")

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# Nothing but a name or address and a port: `user@name` and `name#x` are read in two ways.
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^\s\[\]:/?#@\\,]+)(?::[0-9]{0,5})?")
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


class Trust:
    """Judges requests. Build it with `socket`, `loopback` or `strict`."""

    def __init__(
        self,
        *,
        believes: bool = False,
        local: bool = False,
        validator: Validator | None = None,
        hosts: Sequence[str] = (),
    ) -> None:
        self._believes = believes
        self._local = local
        self._validator = validator
        self._hosts = frozenset(host.lower() for host in hosts)

    @classmethod
    def socket(cls) -> "Trust":
        """Behind the gateway, on a Unix socket: believes its header; without it, `local`."""
        return cls(believes=True)

    @classmethod
    def loopback(cls, validator: Validator | None = None, hosts: Sequence[str] = ()) -> "Trust":
        """On a loopback address. Without a token the peer is `local`; a token is verified and
        never falls back. Host and Origin are checked, as any web page can send requests here."""
        return cls(local=True, validator=validator, hosts=(*LOOPBACK_HOSTS, *hosts))

    @classmethod
    def strict(cls, validator: Validator, hosts: Sequence[str] = ()) -> "Trust":
        """Reachable from outside: without a token `anonymous`. No `hosts` means any."""
        return cls(validator=validator, hosts=hosts)

    async def judge(self, peer: str, method: str, headers: Mapping[str, str]) -> Principal:
        """Who this request speaks for. `headers` have lower-case names.

        Raises Fault AUTH… for bad credentials, CORE013 for a foreign Host, CORE014 for a foreign
        Origin. A refused credential is logged as `authentication failed` (C6).
        """
        if self._believes:
            return _believed(headers)
        _check_host(headers, self._hosts)
        if self._local:
            _check_origin(method, headers)
        try:
            return await self._bearer(peer, headers)
        except Fault as fault:
            _log.warning(
                "authentication failed",
                code=fault.entry.code,
                error=fault.message,
                cause=fault.cause,
                peer=peer,
            )
            raise

    async def _bearer(self, peer: str, headers: Mapping[str, str]) -> Principal:
        given = headers.get("authorization", "")
        if not given:
            return self._without_token(peer, headers)
        scheme, _, token = given.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Fault(faults.AUTH_INVALID, reason="Authorization is not `Bearer TOKEN`")
        if self._validator is None:
            raise Fault(faults.AUTH_NO_SECRET, algorithm="HS256")
        return await self._validator.validate(token.strip())

    def _without_token(self, peer: str, headers: Mapping[str, str]) -> Principal:
        # What a proxy on this machine passes on comes from elsewhere, whatever the peer is.
        forwarded = any(name in headers for name in _FORWARDED)
        if self._local and is_loopback(peer) and not forwarded:
            return LOCAL
        if self._validator is None:
            raise Fault(faults.AUTH_MISSING)
        return ANONYMOUS


def require_auth_for(address: str, validator: Validator | None) -> None:
    """Refuse to serve `address` (`HOST:PORT`, `:PORT` or `unix:/path`) to others without
    authentication: Fault CORE012."""
    if validator is not None or address.startswith(("unix:", "/")):
        return
    host = address.rpartition(":")[0].strip("[]")
    if host.lower() != "localhost" and not is_loopback(host):
        raise Fault(faults.AUTH_REQUIRED_OUTSIDE, address=address)


@lru_cache(maxsize=1024)
def is_loopback(peer: str) -> bool:
    """Whether an IP address, IPv4 in IPv6 form included, is this machine."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _believed(headers: Mapping[str, str]) -> Principal:
    given = headers.get(PRINCIPAL_HEADER)
    if given is None:
        return LOCAL
    try:
        return _decoded(given)
    except ValueError as bad:
        raise Fault(faults.AUTH_INVALID, reason=str(bad)) from bad


@lru_cache(maxsize=1024)
def _decoded(given: str) -> Principal:
    """The gateway says the same of a caller with each of its requests."""
    return decode_principal(given)


def _check_host(headers: Mapping[str, str], hosts: frozenset[str]) -> None:
    given = headers.get("host", "")
    if hosts and given and _host_name(given) not in hosts:
        allowed = ", ".join(sorted(hosts))
        raise Fault(faults.HOST_REFUSED, host=given[:100], allowed=allowed)


def _check_origin(method: str, headers: Mapping[str, str]) -> None:
    origin = headers.get("origin")
    if method in _SAFE or origin is None:
        return
    # Port included: another program of this machine is another site. No Host, no own site: `null`
    # (a sandboxed frame, a file) must not equal a missing one.
    place = _place(origin)
    if not place or place != headers.get("host", "").lower():
        raise Fault(faults.ORIGIN_REFUSED, origin=origin[:100])


def _host_name(given: str) -> str:
    """The name in a Host header; "" for what is not NAME or NAME:PORT and nothing else."""
    found = _HOST.fullmatch(given)
    return found["name"].strip("[]").lower() if found else ""


def _place(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
