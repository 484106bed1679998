"""What a name or a word means, for whoever points at it, and what an outline shows."""

import re
from collections.abc import Iterator, Sequence

from backstay.lang import syntax as s
from backstay.lang.library import LIBRARY
from backstay.lang.lsp.index import Index, Place, written
from backstay.lang.parser.grammar import BLOCKS, DECLARATIONS

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def explain(index: Index, place: Place) -> str:
    """A name in Markdown: how it is declared, and of an entity its fields."""
    symbol = place.symbol
    declared = next((each for each in index.of(symbol) if each.defines), place)
    if symbol.kind == "entity":
        fields = "\n".join(
            f"  {name}: {written(node)}" for name, node in index.fields[symbol.name].items()
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
