"""How an outgoing call can fail. Which failure it was decides about retry and compensation:
`sent` is False only where the request certainly never left this process.
"""

from backstay.core.errors import ErrorEntry, Fault


class CallFailed(Fault):
    """No complete answer came. A 4xx or 5xx is an answer, not a failure."""

    entry_of: ErrorEntry
    kind: str = ""

    def __init__(self, address: str, reason: str, *, sent: bool) -> None:
        super().__init__(self.entry_of, address=address, reason=reason, sent=sent)
        self.reason = reason
        self.sent = sent


def _entry(code: str, message: str, cause: str, fix: str, status: int = 502) -> ErrorEntry:
    return ErrorEntry(code, message, cause, fix, status=status, exit=4, retryable=True)


class DnsError(CallFailed):
    kind = "dns"
    entry_of = _entry(
        "CORE030",
        "the name of {address} does not resolve",
        "{reason}",
        "check the spelling of the host and the DNS servers of this machine",
    )


class RefusedError(CallFailed):
    """Refused, or no route to the host: nobody listens there."""

    kind = "refused"
    entry_of = _entry(
        "CORE031",
        "{address} does not accept connections",
        "{reason}",
        "start what listens there, or correct host and port",
    )


class TlsError(CallFailed):
    kind = "tls"
    entry_of = _entry(
        "CORE032",
        "the TLS handshake with {address} failed",
        "{reason}",
        "check the certificate's names, dates and chain, and whether the port speaks TLS",
    )


class ConnectTimeoutError(CallFailed):
    kind = "connect-timeout"
    entry_of = _entry(
        "CORE033",
        "{address} could not be connected to in time",
        "{reason}",
        "check firewalls between here and there; a dropped packet looks like this",
        status=504,
    )


class TotalTimeoutError(CallFailed):
    kind = "timeout"
    entry_of = _entry(
        "CORE034",
        "{address} did not answer in time",
        "{reason}",
        "find out why it is slow, or give the call more time",
        status=504,
    )


class ResetError(CallFailed):
    """The connection ended before the answer was complete: its outcome is unknown."""

    kind = "reset"
    entry_of = _entry(
        "CORE035",
        "{address} closed the connection before it had answered",
        "{reason}",
        "look at its log: it probably crashed or was restarted",
    )


class EgressError(CallFailed):
    kind = "egress"
    entry_of = ErrorEntry(
        "CORE036",
        "calls to {address} are not allowed",
        "{reason}",
        "if the target is meant, add its address or network to the allowed ones",
        status=502,
    )


class TooLargeError(CallFailed):
    kind = "too-large"
    entry_of = ErrorEntry(
        "CORE037",
        "the answer of {address} is too large",
        "{reason}",
        "ask for less, or raise the limit of this call",
        status=502,
    )


class ProtocolError(CallFailed):
    """What came is no HTTP, or the address is none."""

    kind = "protocol"
    entry_of = ErrorEntry(
        "CORE038",
        "{address} cannot be talked to",
        "{reason}",
        "check that the address is an HTTP one and that an HTTP server listens there",
        status=502,
    )


KINDS = (
    DnsError,
    RefusedError,
    TlsError,
    ConnectTimeoutError,
    TotalTimeoutError,
    ResetError,
    EgressError,
    TooLargeError,
    ProtocolError,
)
ENTRIES = tuple(kind.entry_of for kind in KINDS)
