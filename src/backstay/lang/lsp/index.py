"""Which name means what: every place where a declaration, a field, a step or a variable is named.

Worked out from the trees alone, so it is there while the program has mistakes.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from backstay.lang import syntax as s
from backstay.lang.diagnostics import Span


class Symbol(NamedTuple):
    """`owner` is the entity of a field, the integration of an operation, the declaration (by file
    and line) of a step or a variable, `script` for the variables of a script."""

    kind: str
    name: str
    owner: str = ""


class Place(NamedTuple):
    """A name in a text. `defines` is true where it is declared; `detail` is its type there."""

    symbol: Symbol
    span: Span
    defines: bool = False
    detail: str = ""


DECLARED = ("entity", "workflow", "integration", "job", "event", "function", "role", "middleware")


class Index:
    """The places of all names of a program."""

    def __init__(self, files: Iterable[s.File]) -> None:
        files = tuple(files)
        self.names = {kind: set[str]() for kind in (*DECLARED, "variable")}
        self.fields: dict[str, dict[str, s.FieldNode]] = {}
        self.inputs: dict[str, str] = {}
        """Of each workflow, the owner of its inputs."""
        for file, each in _declarations(files):
            if isinstance(each.statement, s.VarNode):
                self.names["variable"].add(each.statement.name.name)
            if each.name and each.keyword.name == "workflow":
                self.inputs[each.name.name] = f"{file.name}:{each.line}"
            if each.name and each.keyword.name in self.names:
                self.names[each.keyword.name].add(each.name.name)
            if each.name and each.keyword.name == "entity":
                self.fields[each.name.name] = {
                    member.name.name: member.value
                    for member in each.block.members
                    if isinstance(member.value, s.FieldNode)
                }
        self.places: list[Place] = []
        for file, each in _declarations(files):
            # A walk makes places of this index.
            from backstay.lang.lsp.walk import Walk

            self.places += Walk(self, file.name, each).run()

    def at(self, file: str, line: int, column: int) -> Place | None:
        """The name at a place (from 1); a cursor right behind a name is at it, too."""
        for place in self.places:
            span = place.span
            inside = span.column <= column <= span.end_column
            if span.file == file and span.line == line and inside:
                return place
        return None

    def of(self, symbol: Symbol) -> list[Place]:
        """Every place of a symbol, declarations first."""
        found = [place for place in self.places if place.symbol == symbol]
        return sorted(found, key=lambda place: (not place.defines, place.span))

    def entity_of(self, entity: str, field: str) -> str:
        """The entity that a field leads to, or nothing."""
        node = self.fields.get(entity, {}).get(field)
        if node is None or not isinstance(node.type, s.TypeName):
            return ""
        for each in node.type.args:
            if isinstance(each, s.TypeName) and each.name.name in self.names["entity"]:
                return each.name.name
        return ""


def _declarations(files: Iterable[s.File]) -> Iterator[tuple[s.File, s.Declaration]]:
    for file in files:
        for each in file.declarations:
            yield file, each


def written(node: s.FieldNode) -> str:
    """The type of a field as one writes it, with its modifiers."""
    modifiers = (f"{each.name.name}(…)" if each.args else each.name.name for each in node.modifiers)
    return ", ".join((_type(node.type), *modifiers))


def _type(node: object) -> str:
    match node:
        case s.TypeName(name=name, args=args):
            return f"{name.name}({', '.join(map(_type, args))})" if args else name.name
        case s.RecordFields():
            return "{ … }"
        case s.Literal_(value=value):
            return str(value)
        case s.Ident(name=name):
            return name
        case _:
            return "…"
