"""Which name means what: every place where a declaration, a field, a step or a variable is named.

Worked out from the trees alone, so it is there while the program has mistakes.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from backstay.lang import syntax as s
from backstay.lang.diagnostics import Span


class Symbol(NamedTuple):
    """`owner` is the entity of a field, the integration of an operation, the declaration (by file
    and line) of a step or a variable."""

    kind: str
    name: str
    owner: str = ""


class Place(NamedTuple):
    """A name in a text. `defines` is true where it is declared; `detail` is its type there."""

    symbol: Symbol
    span: Span
    defines: bool = False
    detail: str = ""


_Rows = s.CreateNode | s.UpdateNode | s.DeleteNode | s.GivenNode | s.ExpectNode
_DECLARED = ("entity", "workflow", "integration", "job")
_PARAMETERS = ("path", "query", "body", "input")
_FIELD_LISTS = ("filter", "sort", "include")


class Index:
    """The places of all names of a program."""

    def __init__(self, files: Iterable[s.File]) -> None:
        files = tuple(files)
        self.names = {kind: set[str]() for kind in _DECLARED}
        self.fields: dict[str, dict[str, s.FieldNode]] = {}
        for _, each in _declarations(files):
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
            self.places += _Walk(self, file.name, each).run()

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


class _Walk:
    """One declaration: what is in scope, and the entity whose bare fields may be named."""

    def __init__(self, index: Index, file: str, declaration: s.Declaration) -> None:
        self.index = index
        self.file = file
        self.declaration = declaration
        self.id = f"{file}:{declaration.line}"
        self.row = ""
        self.bound: dict[str, str] = {}
        self.found: list[Place] = []

    def run(self) -> list[Place]:
        declaration = self.declaration
        kind = declaration.keyword.name
        if declaration.name and kind in _DECLARED:
            self.add(Symbol(kind, declaration.name.name), declaration.name, defines=True)
            self.row = declaration.name.name if kind == "entity" else ""
        for member in declaration.block.members:
            if member.name.name in _PARAMETERS and isinstance(member.value, s.RecordFields):
                self.parameters(member.name.name, member.value)
        for member in declaration.block.members:
            if member.name.name == "returns" and isinstance(member.value, s.TypeName):
                self.row = self.entity_in(member.value)
        for member in declaration.block.members:
            self.member(member, kind)
        return self.found

    def add(self, symbol: Symbol, node: s.Node, *, defines: bool = False, detail: str = "") -> None:
        line, span = self.declaration.line, node.span
        place = Span(
            self.file, line + span.line, span.column, line + span.end_line, span.end_column
        )
        self.found.append(Place(symbol, place, defines, detail))

    def parameters(self, block: str, record: s.RecordFields) -> None:
        """Inputs of a workflow stand alone; those of an endpoint follow `path.`, `body.` …"""
        for each in record.fields:
            owner = self.id if block == "input" else f"{self.id}.{block}"
            symbol = Symbol("variable", each.name.name, owner)
            self.add(symbol, each.name, defines=True, detail=written(each))
            if block == "input":
                self.bound[each.name.name] = self.entity_in(each.type)

    def entity_in(self, node: object) -> str:
        """The entity inside `ref(E)`, `list(E)`, `paginated(E)` or `E`."""
        if not isinstance(node, s.TypeName):
            return ""
        if node.name.name in self.index.names["entity"]:
            return node.name.name
        return next((inner for inner in map(self.entity_in, node.args) if inner), "")

    # --- members ---

    def member(self, member: s.Member, block: str) -> None:
        name, value = member.name, member.value
        if isinstance(value, s.FieldNode) and block == "entity":
            symbol = Symbol("field", value.name.name, self.row)
            self.add(symbol, value.name, defines=True, detail=written(value))
            self.walk(value.type)
        elif isinstance(value, s.Names) and (block == "entity" or name.name in _FIELD_LISTS):
            for each in value.names:
                self.field(self.row, each)
        elif isinstance(value, s.Block):
            self.inside(member, value, block)
        else:
            self.walk(value)

    def inside(self, member: s.Member, value: s.Block, block: str) -> None:
        name = member.name.name
        if block == "steps":
            self.add(Symbol("step", name, self.id), member.name, defines=True)
        if name == "operation" and member.label and self.declaration.name:
            owner = self.declaration.name.name
            self.add(Symbol("operation", member.label.name, owner), member.label, defines=True)
        for each in value.members:
            self.member(each, name)

    def field(self, entity: str, name: s.Ident) -> None:
        if name.name in self.index.fields.get(entity, {}):
            self.add(Symbol("field", name.name, entity), name)

    # --- everything else ---

    def walk(self, node: object) -> None:
        """Any node: the known ones by what they mean, others by their parts."""
        match node:
            case tuple():
                for each in node:
                    self.walk(each)
            case s.TypeName(name=name, args=args):
                if name.name in self.index.names["entity"]:
                    self.add(Symbol("entity", name.name), name)
                self.walk(args)
            case s.NameExpr() | s.Dot():
                self.name(node)
            case s.LetNode() | s.ForNode() | s.Each() | s.Where() | s.CallExpr():
                self.scoped(node)
            case s.CreateNode() | s.UpdateNode() | s.DeleteNode() | s.GivenNode() | s.ExpectNode():
                self.write(node)
            case s.Node():
                self.named(node)
                for part in node.__struct_fields__:
                    self.walk(getattr(node, part))

    def named(self, node: s.Node) -> None:
        """What names a thing outside of the declaration."""
        if isinstance(node, s.CallNode | s.StubNode):
            outside = node.integration.name
            self.add(Symbol("integration", outside), node.integration)
            self.add(Symbol("operation", node.operation.name, outside), node.operation)
        elif isinstance(node, s.StartNode | s.RunNode):
            self.add(Symbol("workflow", node.workflow.name), node.workflow)

    def scoped(self, node: s.LetNode | s.ForNode | s.Each | s.Where | s.CallExpr) -> None:
        """What makes a name, or a row whose fields may stand alone."""
        match node:
            case s.LetNode(name=name, value=value):
                self.walk(value)
                self.bind(name, value)
            case s.Where(target=target, condition=condition):
                self.walk(target)
                self.of_row(self.leads_to(target), condition)
            case s.CallExpr(callee=callee, args=args):
                self.walk(callee)
                self.arguments(args)
            case _:
                self.walk(node.items)
                self.bind(node.variable, node.items)
                self.walk(node.body if isinstance(node, s.ForNode) else node.value)

    def arguments(self, args: tuple[s.Expr, ...]) -> None:
        """The variable of a lambda is an item of the list before it."""
        for arg in args:
            if isinstance(arg, s.Lambda):
                self.bind(arg.variable, args[0])
                self.walk(arg.value)
            else:
                self.walk(arg)

    def bind(self, name: s.Ident, value: object) -> None:
        self.bound[name.name] = self.leads_to(value)
        self.add(Symbol("variable", name.name, self.id), name, defines=True)

    def name(self, node: s.NameExpr | s.Dot) -> None:
        if isinstance(node, s.Dot):
            self.dot(node.of, node.field)
        elif node.name in self.index.fields.get(self.row, {}):
            self.add(Symbol("field", node.name, self.row), node)
        elif node.name in self.bound:
            self.add(Symbol("variable", node.name, self.id), node)
        elif node.name in self.index.names["entity"]:
            self.add(Symbol("entity", node.name), node)

    def dot(self, of: s.Expr, field: s.Ident) -> None:
        if isinstance(of, s.NameExpr) and of.name == "steps":
            self.add(Symbol("step", field.name, self.id), field)
            return
        if isinstance(of, s.NameExpr) and of.name in _PARAMETERS and of.name not in self.bound:
            self.add(Symbol("variable", field.name, f"{self.id}.{of.name}"), field)
            return
        if isinstance(of, s.NameExpr) and of.name in self.bound:
            # The head of a dotted path is the variable first.
            self.add(Symbol("variable", of.name, self.id), of)
        else:
            self.walk(of)
        self.field(self.leads_to(of), field)

    def write(self, node: _Rows) -> None:
        entity = node.entity.name
        self.add(Symbol("entity", entity), node.entity)
        if not isinstance(node, s.CreateNode | s.GivenNode):
            self.of_row(entity, node.where)
        if isinstance(node, s.DeleteNode):
            return
        row = entity if isinstance(node, s.UpdateNode) else self.row
        for entry in node.values:
            self.field(entity, entry.name)
            self.of_row(row, entry.value)
        if isinstance(node, s.UpdateNode):
            self.walk(node.otherwise)

    def of_row(self, entity: str, node: object) -> None:
        before, self.row = self.row, entity
        self.walk(node)
        self.row = before

    def leads_to(self, node: object) -> str:
        """The entity whose row, or rows, an expression gives; nothing when it is not known."""
        match node:
            case s.CreateNode(entity=entity) | s.GivenNode(entity=entity):
                return entity.name
            case s.NameExpr(name=name):
                entities = self.index.names["entity"]
                return self.bound.get(name) or (name if name in entities else "")
            case s.Dot(of=of, field=field):
                return self.index.entity_of(self.leads_to(of), field.name)
            case s.Where(target=target):
                return self.leads_to(target)
            case s.CallExpr(args=(first, *_)):
                return self.leads_to(first)
            case _:
                return ""
