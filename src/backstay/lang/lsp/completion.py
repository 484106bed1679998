"""What may stand where the cursor is, and what a name means: from the tokens before the cursor,
because the declaration around it is seldom whole while somebody types."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from backstay.lang import syntax as s
from backstay.lang.lexer import Token, lex
from backstay.lang.library import LIBRARY
from backstay.lang.lsp.index import Index, Place, written
from backstay.lang.parser.grammar import BLOCKS, DECLARATIONS, title
from backstay.lang.program import Program
from backstay.lang.reports import Reports

_TYPES = ("string", "text", "int", "float", "bool", "uuid", "timestamp", "date", "duration", "json")
_TYPE_FORMS = ("decimal(10, 2)", "enum(…)", "ref(…)", "list(…)")
_MODIFIERS = ("required", "optional", "primary", "auto", "unique", "default(…)", "min(…)", "max(…)")
_STATEMENTS = ("let", "create", "update", "delete", "for", "if", "fail", "start", "return")
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_RECORDS = ("path", "query", "body", "input")
_BODIES = ("do", "on_fail", "else")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USER = ("id", "has")


class Choice(NamedTuple):
    """`kind` is `keyword`, `type`, `function`, or that of a `Symbol`."""

    name: str
    kind: str
    detail: str = ""


class _Around:
    """Where the cursor is: the words that opened the blocks around it, and the tokens of its
    statement before it."""

    def __init__(self, before: str) -> None:
        tokens = lex(before, Reports("")).tokens[:-1]
        self.open: list[str] = []
        self.heads: list[list[str]] = []
        self.head: list[Token] = []
        line: list[Token] = []
        for token in tokens:
            if token.first:
                line = []
            line.append(token)
            if token.kind == "op" and token.text == "{":
                self.open.append(_opener(line))
                self.heads.append([each.text for each in line])
                line = []
            elif token.kind == "op" and token.text == "}":
                if self.open:
                    self.open.pop()
                    self.heads.pop()
                line = []
            if not self.open and token.kind == "ident" and token.text in DECLARATIONS:
                self.head = line
        self.line = [token.text for token in line]
        self.typing = bool(tokens) and tokens[-1].kind == "ident" and tokens[-1].end == len(before)
        if self.typing:
            self.line.pop()
        elif "\n" in before[tokens[-1].end if tokens else 0 :]:
            self.line = []

    @property
    def block(self) -> str:
        """The innermost block's own word; a step is `step`."""
        if len(self.open) >= 2 and self.open[-2] == "steps":
            return "step"
        return self.open[-1] if self.open else ""


def _opener(line: list[Token]) -> str:
    """The word that says what a block is: the first of its line."""
    words = [token.text for token in line[:-1] if token.kind == "ident"]
    return words[0] if words else ""


def complete(index: Index, program: Program, text: str, offset: int) -> list[Choice]:
    """The words that fit at `offset` of `text`, without those that only start alike."""
    return list(dict.fromkeys(_choices(index, program, _Around(text[:offset]), text, offset)))


def _choices(
    index: Index, program: Program, around: _Around, text: str, offset: int
) -> Iterator[Choice]:
    line, block = around.line, around.block
    if line and line[-1] == ".":
        yield from _after_dot(index, program, line, text, offset)
    elif not around.open:
        words = _METHODS if line[-1:] == ["endpoint"] else DECLARATIONS if not line else ()
        yield from _keywords(words)
    elif line[-2:] in (["ref", "("], ["list", "("], ["paginated", "("]) or (
        line and line[-1] in ("create", "update", "delete", "in") and line[0] != "returns"
    ):
        yield from _named(index, "entity")
    elif line[-1:] == ["start"]:
        yield from _named(index, "workflow")
    elif line[-2:] == ["call", ":"]:
        yield from _named(index, "integration")
    elif line[:1] in (["filter"], ["sort"], ["include"], ["index"]) and "[" in line:
        yield from _row_fields(index, around)
    elif not line:
        yield from _members(index, around)
    elif block in ("entity", *_RECORDS) and ":" in line and line[0] not in BLOCKS["entity"]:
        yield from _of_field(line)
    elif line[0] == "returns":
        yield Choice("paginated(…)", "type")
        yield from _named(index, "entity")
    else:
        yield from _values(index, around)


def _keywords(words: Iterable[str], detail: str = "") -> Iterator[Choice]:
    return (Choice(word, "keyword", detail) for word in words)


def _named(index: Index, kind: str) -> Iterator[Choice]:
    return (Choice(name, kind) for name in sorted(index.names[kind]))


def _of_field(line: list[str]) -> Iterator[Choice]:
    """The type right after the colon, modifiers behind it."""
    if line[-1] == ":":
        yield from (Choice(name, "type") for name in (*_TYPES, *_TYPE_FORMS))
    else:
        yield from _keywords(_MODIFIERS)


def _members(index: Index, around: _Around) -> Iterator[Choice]:
    """At the start of a line inside a block."""
    block = around.block
    if block in _BODIES or block in ("for", "if"):
        yield from _keywords(_STATEMENTS)
    elif block in ("create", "update", "let", "return") or block not in BLOCKS:
        yield from _written_fields(index, around)
    else:
        yield from _keywords(BLOCKS[block], f"member of {title(block)}")


def _written_fields(index: Index, around: _Around) -> Iterator[Choice]:
    """Names of the fields of the entity that is created or updated."""
    words = around.heads[-1]
    if "create" in words or "update" in words:
        for entity in [word for word in words if word in index.fields][:1]:
            yield from _fields(index, entity)


def _fields(index: Index, entity: str) -> Iterator[Choice]:
    for name, node in index.fields.get(entity, {}).items():
        yield Choice(name, "field", written(node))


def _row_fields(index: Index, around: _Around) -> Iterator[Choice]:
    own = [token.text for token in around.head if token.text in index.fields]
    for entity in own or list(index.fields):
        yield from _fields(index, entity)


def _values(index: Index, around: _Around) -> Iterator[Choice]:
    """Anything that an expression may begin with."""
    for place in index.places:
        if place.symbol.kind == "variable" and place.defines:
            yield Choice(place.symbol.name, "variable", place.detail)
    for function in LIBRARY.values():
        yield Choice(function.name, "function", function.signatures()[0])
    yield Choice("env", "function")
    yield from _named(index, "entity")
    if "where" in around.line:
        for entity in (word for word in around.line if word in index.fields):
            yield from _fields(index, entity)
    yield from _keywords(("true", "false", "null", "not", "user", "path", "query", "body"))


def _after_dot(
    index: Index, program: Program, line: list[str], text: str, offset: int
) -> Iterator[Choice]:
    before = line[-2] if len(line) > 1 else ""
    if before == "user":
        yield from (Choice(name, "field") for name in _USER)
    elif before == "steps":
        yield from _of_kind(index, "step")
    elif before in _RECORDS:
        yield from _of_kind(index, "variable", f".{before}")
    elif before in index.names["integration"]:
        for outside in program.integrations:
            if outside.name == before:
                yield from (Choice(each.name, "operation") for each in outside.operations)
    elif before in index.fields:
        yield from _fields(index, before)
    else:
        yield from _fields(index, _entity_of_variable(index, before, text[:offset]))


def _of_kind(index: Index, kind: str, owner: str = "") -> Iterator[Choice]:
    for place in index.places:
        symbol = place.symbol
        if symbol.kind == kind and place.defines and symbol.owner.endswith(owner):
            yield Choice(symbol.name, kind, place.detail)


def _entity_of_variable(index: Index, name: str, before: str) -> str:
    """The entity that is named on the line where the variable got its value, or by its type."""
    for line in reversed(before.split("\n")):
        words = [token.text for token in lex(line, Reports("")).tokens]
        if name in words and any(word in ("let", "for", "ref", "in") for word in words):
            found = [word for word in words[words.index(name) + 1 :] if word in index.fields]
            if found:
                return found[0]
    return ""


# --- what a name means ---------------------------------------------------------------------------


def explain(index: Index, place: Place) -> str:
    """A name in Markdown: how it is declared, and of an entity its fields."""
    symbol = place.symbol
    declared = next((each for each in index.of(symbol) if each.defines), place)
    if symbol.kind == "entity":
        fields = "\n".join(
            f"  {choice.name}: {choice.detail}" for choice in _fields(index, symbol.name)
        )
        return f"```cai\nentity {symbol.name} {{\n{fields}\n}}\n```"
    if symbol.kind in ("field", "variable"):
        owner = f"{symbol.owner}." if symbol.kind == "field" else ""
        kind = f": {declared.detail}" if declared.detail else ""
        return f"```cai\n{owner}{symbol.name}{kind}\n```"
    owner = f"{symbol.owner}." if symbol.kind == "operation" else ""
    return f"```cai\n{symbol.kind} {owner}{symbol.name}\n```"


def word_at(lines: Sequence[str], line: int, column: int) -> str:
    """The word at a place (from 1), or nothing."""
    text = lines[line - 1] if line <= len(lines) else ""
    words = (each for each in _WORD.finditer(text) if each.start() < column <= each.end() + 1)
    return next((each.group() for each in words), "")


def explain_word(word: str) -> str:
    """A word of the language in Markdown, or nothing."""
    if word in DECLARATIONS and word in BLOCKS:
        return f"`{word}` may hold: {', '.join(BLOCKS[word])}"
    function = LIBRARY.get(word)
    if function is not None:
        forms = "\n".join(function.signatures())
        return f"```cai\n{forms}\n```\n{function.says}"
    return ""


def children(declaration: s.Declaration) -> Iterator[tuple[str, str, s.Range]]:
    """(name, kind, place) of what an outline shows below a declaration."""
    for member in declaration.block.members:
        if isinstance(member.value, s.FieldNode):
            yield member.name.name, "field", member.span
        elif member.name.name == "steps" and isinstance(member.value, s.Block):
            yield from ((each.name.name, "step", each.span) for each in member.value.members)
        elif member.label is not None:
            yield member.label.name, "operation", member.span
