"""Functions that read and write texts for other programs, and names for things."""

import hashlib

import msgspec

from backstay.lang.library import values as v
from backstay.lang.library.model import Function, function
from backstay.lang.library.values import Unfit, Value, a_text


def _parse_json(text: Value) -> Value:
    try:
        found: Value = msgspec.json.decode(a_text(text).encode("utf-8", "replace"))
        v.size(found, v.MAX_TEXT)
    except (msgspec.DecodeError, RecursionError) as bad:
        raise Unfit("the text is no JSON") from bad
    return _bounded(found)


def _bounded(value: Value) -> Value:
    """Numbers of JSON may have any number of digits."""
    if isinstance(value, list):
        return [_bounded(each) for each in value]
    if isinstance(value, dict):
        return {name: _bounded(each) for name, each in value.items()}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return v.bounded(value)
    return value


def _to_json(value: Value) -> Value:
    return msgspec.json.encode(_plain(value)).decode()


def _plain(value: Value) -> Value:
    """As the answer of an endpoint has it: decimals, moments and durations are texts."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if v.kind(value) in ("decimal", "timestamp", "duration", "date"):
        return v.text(value)
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        raise Unfit("a number of JSON has at most 64 bits")
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return value


def _hash(text: Value) -> Value:
    return hashlib.sha256(a_text(text).encode("utf-8", "replace")).hexdigest()


DATA: tuple[Function, ...] = (
    function("parse_json", "text: string", "any", "The value that a JSON text holds.", _parse_json),
    function("to_json", "value: T", "string", "The value as JSON text.", _to_json, nulls=True),
    function("hash", "text: string", "string", "SHA-256, 64 hexadecimal digits.", _hash),
    function("uuid", "", "uuid", "A new name, ordered by time (version 7).", world="ids"),
)
