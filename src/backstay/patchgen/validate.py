"""Bytes in, `Report` out. Two passes, one answer.

The fast one is a typed decode (about a microsecond). It is believed only when it had no reason for
doubt: it stops at the first mistake and takes duplicate keys and unknown fields in silence. In
every doubtful case the slow pass reads the text again, with places, and collects everything.
"""

import codecs
import hashlib

import msgspec

from backstay.core.errors import Fault
from backstay.patchgen.errors import InvalidIntent
from backstay.patchgen.errors import intent as errors
from backstay.patchgen.model import SIZE_LIMIT, Intent, Report
from backstay.patchgen.names import LABEL_LIMIT
from backstay.patchgen.places import Notes
from backstay.patchgen.rules import collect
from backstay.patchgen.scan import BrokenError, Node, scan
from backstay.patchgen.shapes import adapt

_DECODER = msgspec.json.Decoder(Intent)


def validate(data: bytes, *, strict: bool = False) -> Report:
    """Judge one intent. Never raises for what is in `data`: every mistake is in the report."""
    if not strict and len(data) <= SIZE_LIMIT:
        intent = _fast(data)
        if intent is not None:
            return Report(intent, size=len(data))
    return _slow(data, strict=strict)


def require(data: bytes, *, strict: bool = False) -> Intent:
    """The intent in `data`, or `InvalidIntent` with the whole report."""
    report = validate(data, strict=strict)
    if report.intent is None:
        raise InvalidIntent(report)
    return report.intent


def _fast(data: bytes) -> Intent | None:
    """The intent, when there can be no second opinion about it."""
    if b"\\" in data:
        return None
    try:
        intent = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Fault):
        return None
    # Without escapes, two quotes stand around each key and each text. One more pair is a key that
    # stands twice, or one that nobody reads; a brace or a point would be an object or a fraction.
    if data.count(b"{") != 1 or len(intent.target) > LABEL_LIMIT:
        return None
    pairs = 7 + 2 * (
        (intent.target_kind != "Deployment")
        + (intent.reason != "")
        + (intent.source != "")
        + (intent.correlation_id != "")
    )
    if data.count(b'"') != 2 * pairs:
        return None
    return intent if _plainly(data, intent.replicas) else None


def _plainly(data: bytes, replicas: int) -> bool:
    """Whether the count is written in digits alone, not `3.0`."""
    for form in (b'"replicas":%d' % replicas, b'"replicas": %d' % replicas):
        at = data.find(form)
        if at >= 0:
            return data[at + len(form) : at + len(form) + 1] in (b",", b"}", b"\n", b" ", b"\r")
    return False


def _slow(data: bytes, *, strict: bool) -> Report:
    told = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "strict": strict}
    if len(data) > SIZE_LIMIT:
        notes = Notes("")
        notes.broken(errors.TOO_LARGE, 0, size=len(data), limit=SIZE_LIMIT)
        return _report(None, notes, told)
    skipped = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    try:
        text = data[skipped:].decode()
    except UnicodeDecodeError as bad:
        return _report(None, _not_utf8(data, skipped, bad), told)
    notes = Notes(text, strict=strict, skipped=skipped)
    try:
        root, twice = scan(text)
    except BrokenError as broken:
        notes.broken(
            errors.NOT_JSON,
            broken.start,
            reason=broken.reason,
            says=broken.says,
            remedy=broken.remedy,
        )
        return _report(None, notes, told)
    if skipped:
        notes.warn(errors.HAS_BOM, root)
    for one in twice:
        again = Node("string", one.key, one.pointer, one.start, one.start)
        notes.error(errors.DUPLICATE, again, key=one.key[:60])
    shape, flat = adapt(root, notes)
    intent = collect(flat, notes) if flat is not None else None
    return _report(intent if not notes.errors else None, notes, told, shape)


def _not_utf8(data: bytes, skipped: int, bad: UnicodeDecodeError) -> Notes:
    """UTF-16 and Latin-1 are what people have when it is not UTF-8."""
    start = skipped + bad.start
    says = f"Byte {data[start]:#04x} at {start} is not UTF-8"
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        says = "The text is UTF-16"
    text = data[skipped:].decode("utf-8", "replace")
    notes = Notes(text, skipped=skipped)
    at = len(data[skipped:start].decode("utf-8", "replace"))
    notes.broken(
        errors.NOT_JSON, at, reason="invalid UTF-8", says=says, remedy="save the file as UTF-8"
    )
    return notes


def _report(
    intent: Intent | None, notes: Notes, told: dict[str, object], shape: str = "flat"
) -> Report:
    return Report(
        intent,
        tuple(notes.errors),
        tuple(notes.warnings),
        shape=shape,
        **told,  # type: ignore[arg-type]
    )
