"""A bundle: the evidence of one examination in a file, to be judged again elsewhere. What is in it
was redacted before it became evidence."""

from pathlib import Path

import msgspec

from backstay import __version__
from backstay.core.clock import Clock, rfc3339
from backstay.core.errors import Fault
from backstay.core.guide import Evidence
from backstay.core.runtime import write_atomically
from backstay.doctor.errors import BUNDLE_UNREADABLE, BUNDLE_UNWRITABLE
from backstay.doctor.verdict import Verdict


class Bundle(msgspec.Struct, frozen=True):
    """`verdict` is that of the version that wrote it; judging `evidence` again may know more."""

    version: str
    made: str
    evidence: tuple[Evidence, ...]
    verdict: Verdict


def write_bundle(path: Path, evidence: list[Evidence], verdict: Verdict, clock: Clock) -> None:
    """Raises Fault DOC002. The file is readable by its owner only."""
    bundle = Bundle(__version__, rfc3339(clock.now()), tuple(evidence), verdict)
    body = msgspec.json.format(msgspec.json.encode(bundle), indent=2)
    try:
        write_atomically(path, body + b"\n")
    except OSError as failure:
        reason = failure.strerror or str(failure)
        raise Fault(BUNDLE_UNWRITABLE, path=str(path), reason=reason) from failure


def read_bundle(path: Path) -> Bundle:
    """Raises Fault DOC003."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Bundle)
    except (OSError, msgspec.MsgspecError) as failure:
        reason = getattr(failure, "strerror", None) or str(failure)
        raise Fault(BUNDLE_UNREADABLE, path=str(path), reason=reason) from failure
