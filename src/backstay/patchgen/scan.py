"""JSON with places: the slow reader, asked when the fast one has a doubt.

It gives a tree in which every value knows its pointer and its offset, and says of a broken text
what is wrong, where, and what the writer probably meant. The reasons are worded as Go's decoder
words them, because that is what the seed's users search for.
"""

import re
from typing import Literal

import msgspec

from backstay.patchgen.model import DEPTH_LIMIT

Sort = Literal["object", "array", "string", "number", "boolean", "null"]

_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_HEX = re.compile(r"[0-9a-fA-F]{4}")
_WORD = re.compile(r"[A-Za-z]+")
_ESCAPES = {
    '"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
}  # fmt: skip
_LITERALS: dict[str, tuple[Sort, object]] = {
    "true": ("boolean", True),
    "false": ("boolean", False),
    "null": ("null", None),
}
_FROM_PYTHON = {"True": "true", "False": "false", "None": "null"}


class Node(msgspec.Struct, frozen=True):
    """A value with its place. `value` is a dict or list of nodes, a str, a bool, None, or for a
    number its text: no number is too large to be read. `start` and `end` count characters."""

    sort: Sort
    value: object
    pointer: str
    start: int
    end: int

    @property
    def members(self) -> "dict[str, Node]":
        """The members of an object; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> "list[Node]":
        """The elements of an array; empty for anything else."""
        return self.value if isinstance(self.value, list) else []


class Twice(msgspec.Struct, frozen=True):
    """A key that stands twice; `start` is the place of the second one."""

    key: str
    pointer: str
    start: int


class BrokenError(Exception):
    """The text is not JSON. `start` counts characters; `remedy` is for people."""

    def __init__(self, reason: str, start: int, says: str = "", remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.start = start
        self.says = says or f"The text is not JSON from here on: {reason}"
        self.remedy = remedy or "correct the text at the caret"


def scan(text: str) -> tuple[Node, list[Twice]]:
    """The tree and the doubled keys (the first of two counts). Raises BrokenError."""
    reader = _Reader(text)
    node = reader.value(reader.skip(0), "", 0)
    end = reader.skip(node.end)
    if end < len(text):
        raise reader.broken(end, "after top-level value", *_after_the_end(text[end]))
    return node, reader.twice


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.twice: list[Twice] = []

    def skip(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        return found.end() if found else at

    def value(self, at: int, pointer: str, depth: int) -> Node:
        text = self.text
        first = text[at : at + 1]
        if first in ("{", "["):
            if depth >= DEPTH_LIMIT:
                says = f"The text is nested more than {DEPTH_LIMIT} levels deep"
                raise BrokenError("exceeded max depth", at, says, "an intent has three levels")
            read = self._object if first == "{" else self._array
            return read(at, pointer, depth)
        if first == '"':
            told, end = self.string(at)
            return Node("string", told, pointer, at, end)
        number = _NUMBER.match(text, at)
        if number:
            return self._number(number, pointer)
        return self._literal(at, pointer)

    def _object(self, at: int, pointer: str, depth: int) -> Node:
        members: dict[str, Node] = {}
        place = self.skip(at + 1)
        if self.text[place : place + 1] == "}":
            return Node("object", members, pointer, at, place + 1)
        while True:
            if self.text[place : place + 1] != '"':
                raise self._no_key(place)
            key, end = self.string(place)
            own = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            colon = self.skip(end)
            if self.text[colon : colon + 1] != ":":
                says, remedy = "A colon is missing", f'write "{key[:40]}": and its value'
                raise self.broken(colon, "after object key", says, remedy)
            node = self.value(self.skip(colon + 1), own, depth + 1)
            if key in members:
                self.twice.append(Twice(key, own, place))
            else:
                members[key] = node
            place = self.skip(node.end)
            mark = self.text[place : place + 1]
            if mark == "}":
                return Node("object", members, pointer, at, place + 1)
            if mark != ",":
                raise self._no_comma(place, "after object key:value pair")
            place = self.skip(place + 1)

    def _array(self, at: int, pointer: str, depth: int) -> Node:
        items: list[Node] = []
        place = self.skip(at + 1)
        if self.text[place : place + 1] == "]":
            return Node("array", items, pointer, at, place + 1)
        while True:
            node = self.value(place, f"{pointer}/{len(items)}", depth + 1)
            items.append(node)
            place = self.skip(node.end)
            mark = self.text[place : place + 1]
            if mark == "]":
                return Node("array", items, pointer, at, place + 1)
            if mark != ",":
                raise self._no_comma(place, "after array element")
            place = self.skip(place + 1)

    def string(self, at: int) -> tuple[str, int]:
        """The string that opens at `at`, and the place after its end."""
        text = self.text
        parts: list[str] = []
        place = at + 1
        while True:
            plain = _PLAIN.match(text, place)
            if plain:
                parts.append(plain.group())
                place = plain.end()
            mark = text[place : place + 1]
            if mark == '"':
                return "".join(parts), place + 1
            if mark != "\\":
                says, remedy = "A text is not closed on its line", 'close it with "'
                raise self.broken(place, "in string literal", says, remedy)
            piece, place = self._escape(place + 1)
            parts.append(piece)

    def _escape(self, at: int) -> tuple[str, int]:
        mark = self.text[at : at + 1]
        if mark in _ESCAPES and mark:
            return _ESCAPES[mark], at + 1
        if mark != "u":
            remedy = "write \\\\ for a backslash"
            raise self.broken(at, "in string escape code", "There is no such escape", remedy)
        code = self._hex(at + 1)
        if not 0xD800 <= code < 0xE000:
            return chr(code), at + 5
        if code < 0xDC00 and self.text[at + 5 : at + 7] == "\\u":
            low = self._hex(at + 7)
            if 0xDC00 <= low < 0xE000:
                return chr(0x10000 + ((code - 0xD800) << 10) + low - 0xDC00), at + 11
        says = "Half of a surrogate pair stands for no character"
        raise BrokenError("unpaired surrogate in \\u escape", at - 1, says, "write the character")

    def _hex(self, at: int) -> int:
        found = _HEX.match(self.text, at)
        if found:
            return int(found.group(), 16)
        bad = at
        while self.text[bad : bad + 1] in tuple("0123456789abcdefABCDEF"):
            bad += 1
        raise self.broken(bad, "in \\u hexadecimal character escape")

    def _number(self, found: "re.Match[str]", pointer: str) -> Node:
        after = self.text[found.end() : found.end() + 1]
        if after and (after.isalnum() or after in "._+-"):
            says = "This is not how JSON writes a number"
            remedy = "no leading zero, no plus sign, digits on both sides of the point"
            raise self.broken(found.end(), "in numeric literal", says, remedy)
        return Node("number", found.group(), pointer, found.start(), found.end())

    def _literal(self, at: int, pointer: str) -> Node:
        word = _WORD.match(self.text, at)
        known = _LITERALS.get(word.group()) if word else None
        if word and known:
            return Node(known[0], known[1], pointer, at, word.end())
        says, remedy = "", ""
        mark = self.text[at : at + 1]
        if word and word.group() in _FROM_PYTHON:
            says, remedy = f"JSON writes {_FROM_PYTHON[word.group()]}", "write it in lower case"
        elif word and any(name.startswith(word.group()) for name in _LITERALS):
            if word.end() == len(self.text):
                raise self.broken(word.end(), "")
        elif word:
            says, remedy = "A text needs quotes", f'write "{word.group()[:40]}"'
        elif mark == "'":
            says, remedy = "JSON quotes with double quotes only", "write \" instead of '"
        elif mark in ("]", ",") and self._before(at) == ",":
            says, remedy = "Trailing comma: nothing follows it", "remove the comma"
        elif mark == "/":
            says, remedy = "JSON knows no comments", "remove the comment"
        raise self.broken(at, "looking for beginning of value", says, remedy)

    def _no_key(self, at: int) -> BrokenError:
        mark = self.text[at : at + 1]
        says, remedy = "", ""
        if mark == "}" and self._before(at) == ",":
            says, remedy = "Trailing comma: no further field follows it", "remove the comma"
        elif mark == "'":
            says, remedy = "JSON quotes with double quotes only", "write \" instead of '"
        elif mark == "/":
            says, remedy = "JSON knows no comments", "remove the comment"
        elif mark.isalpha() or mark == "_":
            says, remedy = "A field name needs quotes", "put the name into double quotes"
        return self.broken(at, "looking for beginning of object key string", says, remedy)

    def _no_comma(self, at: int, where: str) -> BrokenError:
        mark = self.text[at : at + 1]
        if mark and (mark in '"{[' or mark.isalnum() or mark == "-"):
            return self.broken(at, where, "Missing comma before this", "put a comma before it")
        return self.broken(at, where)

    def _before(self, at: int) -> str:
        return self.text[:at].rstrip(" \t\n\r")[-1:]

    def broken(self, at: int, where: str, says: str = "", remedy: str = "") -> BrokenError:
        """The error at a place, in the words of Go's decoder."""
        if at >= len(self.text):
            says = "The text ends before the intent does"
            remedy = "was the file cut off, or is it still being written?"
            return BrokenError("unexpected end of JSON input", len(self.text), says, remedy)
        char = self.text[at]
        quoted = {"'": "'\\''", '"': "'\"'"}.get(char) or (
            f"'{char}'" if char.isprintable() else f"'\\x{ord(char):02x}'"
        )
        return BrokenError(f"invalid character {quoted} {where}", at, says, remedy)


def _after_the_end(mark: str) -> tuple[str, str]:
    if mark in "{[":
        return "A second document follows the first", "one intent at a time; or: patchgen batch"
    return "Something follows the end of the intent", "remove what follows"
