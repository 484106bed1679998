"""From a node of the tree to what a person reads: place, window, caret, words.

`Notes` gathers diagnoses while the rules run. In strict mode every warning is an error.
"""

import unicodedata
from collections.abc import Mapping
from typing import Any

from backstay.core.errors import ErrorEntry, Fault, Plain
from backstay.patchgen.model import Diagnosis
from backstay.patchgen.scan import Node, Sort

_WINDOW = 20
_SHOWN = 80
_SORTS: Mapping[type, Sort] = {
    dict: "object",
    list: "array",
    tuple: "array",
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    type(None): "null",
}


class Notes:
    """What was found so far. `made` intents have no text and therefore no places; `skipped` is the
    length of a byte order mark."""

    def __init__(
        self, text: str, *, strict: bool = False, made: bool = False, skipped: int = 0
    ) -> None:
        self.text = text
        self.strict = strict
        self.errors: list[Diagnosis] = []
        self.warnings: list[Diagnosis] = []
        self._made = made
        self._skipped = skipped
        self._ascii = text.isascii()

    def error(self, entry: ErrorEntry, node: Node, **values: Any) -> None:
        """Something that refuses the intent."""
        self.errors.append(self._diagnose(entry, node, values))

    def warn(self, entry: ErrorEntry, node: Node, *, strict: bool = False, **values: Any) -> None:
        """Something doubtful; with `strict` only strict mode has a word to say."""
        if self.strict:
            found = self._diagnose(entry, node, values)
            self.errors.append(_as_strict(found))
        elif not strict:
            self.warnings.append(self._diagnose(entry, node, values))

    def broken(self, entry: ErrorEntry, start: int, **values: Any) -> None:
        """The text stops being JSON at `start`."""
        node = Node("null", None, "", start, start)
        self.errors.append(self._diagnose(entry, node, values, rule="json"))

    def _diagnose(
        self, entry: ErrorEntry, node: Node, values: Mapping[str, Any], rule: str = "rule"
    ) -> Diagnosis:
        value = _value_of(node)
        pointer = str(values.get("pointer", node.pointer))
        told = Fault(entry, **_shown({"value": value, **values}))
        place = {} if self._made else self._place(node.start)
        return Diagnosis(
            code=entry.code,
            message=told.message,
            says=told.cause,
            remedy=told.fix,
            pointer=pointer,
            value=value,
            rule=rule,
            **place,
        )

    def _place(self, start: int) -> dict[str, Any]:
        text = self.text
        line_start = text.rfind("\n", 0, start) + 1
        window, caret = self._window(start)
        return {
            "offset": self._skipped + (start if self._ascii else len(text[:start].encode())),
            "line": text.count("\n", 0, start) + 1,
            "column": start - line_start + 1,
            "window": window,
            "caret": caret,
        }

    def _window(self, start: int) -> tuple[str, int]:
        """Up to 20 bytes on each side, and the column of the very spot in what is printed."""
        before, after = start, start
        # A character has one to four bytes: count until 20 of them are full.
        left = _WINDOW
        while before > 0 and (size := len(self.text[before - 1].encode())) <= left:
            before, left = before - 1, left - size
        left = _WINDOW
        while after < len(self.text) and (size := len(self.text[after].encode())) <= left:
            after, left = after + 1, left - size
        head = _printable(self.text[before:start])
        return head + _printable(self.text[start:after]), sum(map(_columns, head))


def node_of(value: object, pointer: str) -> Node:
    """A tree over plain values, without places. What JSON cannot hold is shown as its text."""
    sort = _SORTS.get(type(value), "null")
    inner: object = value
    if isinstance(value, dict):
        inner = {str(key): node_of(own, f"{pointer}/{key}") for key, own in value.items()}
    elif isinstance(value, list | tuple):
        inner = [node_of(own, f"{pointer}/{place}") for place, own in enumerate(value)]
    elif sort == "number":
        inner = repr(value)
    return Node(sort, inner, pointer, -1, -1)


def _as_strict(found: Diagnosis) -> Diagnosis:
    import msgspec

    return msgspec.structs.replace(found, message=f"{found.message} (strict mode)", rule="strict")


def _value_of(node: Node) -> str:
    value = node.value
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, str):
        told = value if value.isprintable() else value.encode("unicode_escape").decode()
        return told if len(told) <= _SHOWN else f"{told[:_SHOWN]}…"
    return "{…}" if isinstance(value, dict) else "[…]"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "·" for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _shown(values: Mapping[str, object]) -> dict[str, Plain]:
    """Values of a template, bounded, so that no message grows with its input."""
    return {
        name: value if isinstance(value, int) else str(value)[:200]
        for name, value in values.items()
    }
