"""The words of a query, with their places. One expression, one pass."""

import re
from typing import Literal

import msgspec

from backstay.lang.query import errors as e

Kind = Literal["word", "int", "float", "duration", "string", "param", "op", "end"]

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|//[^\n]*|\#[^\n]*)
    | (?P<float>-?[0-9]+(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)(?![A-Za-z0-9_]))
    | (?P<int>-?[0-9]+(?![A-Za-z0-9_.]))
    | (?P<duration>(?:[0-9]+(?:\.[0-9]+)?(?:ms|us|ns|[smhd]))+(?![A-Za-z0-9_.]))
    | (?P<param>[@$][A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*(?:-[A-Za-z0-9_]+)*)
    | (?P<string>'[^'\\]*(?:\\[\s\S][^'\\]*)*'|"[^"\\]*(?:\\[\s\S][^"\\]*)*")
    | (?P<open>['"])
    | (?P<op>==|!=|<>|<=|>=|[=<>(),:~*/+.\[\]-])
    | (?P<bad>[\s\S])
    """,
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class Token(msgspec.Struct, frozen=True, gc=False):
    """`text` is as written; `value` is a string's content or a parameter's name. `at` counts the
    characters before it."""

    kind: Kind
    text: str
    value: str
    line: int
    column: int
    at: int = 0

    @property
    def lower(self) -> str:
        return self.text.lower() if self.kind == "word" else ""


def tokens(text: str) -> list[Token]:
    """All tokens, the last of kind `end`. Raises LexerError."""
    found: list[Token] = []
    line, start = 1, 0
    for match in _TOKEN.finditer(text):
        group, said = match.lastgroup or "bad", match.group()
        column = match.start() - start + 1
        if group == "open":
            raise e.QueryError(e.OPEN_STRING, line=line, column=column)
        if group == "bad":
            raise e.QueryError(e.UNEXPECTED_CHARACTER, line=line, column=column, text=said)
        if group != "space":
            kind: Kind = group  # type: ignore[assignment]
            found.append(Token(kind, said, _value(group, said), line, column, match.start()))
        if "\n" in said:
            line += said.count("\n")
            start = match.start() + said.rfind("\n") + 1
    found.append(Token("end", "", "", line, len(text) - start + 1, len(text)))
    return found


def _value(group: str, said: str) -> str:
    if group == "string":
        return re.sub(r"\\([\s\S])", lambda m: _ESCAPES.get(m[1], m[1]), said[1:-1])
    return said[1:] if group == "param" else said
