"""Every name of one declaration, and what it means there."""

from backstay.lang import syntax as s
from backstay.lang.diagnostics import Span
from backstay.lang.lsp.index import DECLARED, Index, Place, Symbol, written
from backstay.lang.lsp.shapes import Shapes
from backstay.lang.parser.grammar import BLOCKS

_Rows = s.CreateNode | s.UpdateNode | s.DeleteNode | s.RestoreNode | s.GivenNode | s.ExpectNode
_PARAMETERS = ("path", "query", "body", "headers", "input")
_FIELD_LISTS = ("filter", "sort", "include")
SCRIPT = "script"
"""The owner of variables that stand at the top level."""


class Walk(Shapes):
    """One declaration: what is in scope, and the entity whose bare fields may be named."""

    def __init__(self, index: Index, file: str, declaration: s.Declaration) -> None:
        super().__init__(index)
        self.file = file
        self.declaration = declaration
        self.id = f"{file}:{declaration.line}"
        self.row = ""
        self.found: list[Place] = []

    def run(self) -> list[Place]:
        declaration = self.declaration
        kind = declaration.keyword.name
        if declaration.name and kind in DECLARED:
            self.add(Symbol(kind, declaration.name.name), declaration.name, defines=True)
            self.row = declaration.name.name if kind == "entity" else ""
        for hole in declaration.path.holes if declaration.path else ():
            colons = declaration.path is not None and declaration.path.colons
            self.add(Symbol("variable", hole.name, f"{self.id}.path"), hole, defines=colons)
        for member in declaration.block.members:
            if member.name.name in _PARAMETERS and isinstance(member.value, s.RecordFields):
                self.parameters(member.name.name, member.value)
        for member in declaration.block.members:
            if member.name.name == "returns" and isinstance(member.value, s.TypeName):
                self.row = self.entity_in(member.value)
        # What is included may be that of a variable, so it comes last.
        for member in sorted(
            declaration.block.members, key=lambda each: each.name.name == "include"
        ):
            if member.name.name == "include" and not self.row:
                self.row = self.returned()
            self.member(member, kind)
        self.walk(declaration.statement)
        return self.found

    def add(self, symbol: Symbol, node: s.Node, *, defines: bool = False, detail: str = "") -> None:
        self.place(symbol, node.span, defines=defines, detail=detail)

    def place(
        self, symbol: Symbol, span: s.Range, *, defines: bool = False, detail: str = ""
    ) -> None:
        line = self.declaration.line
        place = Span(
            self.file, line + span.line, span.column, line + span.end_line, span.end_column
        )
        self.found.append(Place(symbol, place, defines, detail))

    def parameters(self, block: str, record: s.RecordFields) -> None:
        """Inputs of a workflow stand alone; those of an endpoint follow `path.`, `body.` …"""
        self.taken[block] = record
        for each in record.fields:
            owner = self.id if block == "input" else f"{self.id}.{block}"
            symbol = Symbol("variable", each.name.name, owner)
            self.add(symbol, each.name, defines=True, detail=written(each))
            if block == "input":
                self.bound[each.name.name] = self.shape_of(each.type)

    def returned(self) -> str:
        """The entity of the row that the statements of an endpoint return."""
        for member in self.declaration.block.members:
            if isinstance(member.value, s.Body) and member.value.statements:
                last = member.value.statements[-1]
                return self.leads_to(last.value) if isinstance(last, s.ReturnNode) else ""
        return ""

    # --- members ---

    def member(self, member: s.Member, block: str) -> None:
        name, value = member.name, member.value
        if isinstance(value, s.FieldNode) and block == "entity":
            symbol = Symbol("field", value.name.name, self.row)
            self.add(symbol, value.name, defines=True, detail=written(value))
            self.walk(value.type)
            self.way_back(value)
        elif isinstance(value, s.Names) and name.name in ("roles", "middleware"):
            kind = "role" if name.name == "roles" else "middleware"
            for each in value.names:
                self.known(kind, each)
        elif name.name == "require_role":
            self.quoted("role", value)
        elif isinstance(value, s.Names) and (block == "entity" or name.name in _FIELD_LISTS):
            for each in value.names:
                self.field(self.row, each)
        elif isinstance(value, s.Block):
            self.inside(member, value, block)
        else:
            self.walk(value)

    def inside(self, member: s.Member, value: s.Block, block: str) -> None:
        name = member.name.name
        together = name == "parallel" and not any(
            each.name.name in BLOCKS["step"] for each in value.members
        )
        if block in ("steps", "parallel") and not together:
            self.add(Symbol("step", name, self.id), member.name, defines=True)
            self.named_output(value)
        if name == "operation" and member.label and self.declaration.name:
            owner = self.declaration.name.name
            self.add(Symbol("operation", member.label.name, owner), member.label, defines=True)
        for each in value.members:
            self.member(each, name)

    def named_output(self, step: s.Block) -> None:
        """`as: NAME` of a step: what it gives, or each entry of its `for_each`."""
        members = {each.name.name: each.value for each in step.members}
        name = members.get("as")
        if isinstance(name, s.Ident):
            self.bound[name.name] = self.shape(members.get("for_each"))
            self.add(Symbol("variable", name.name, self.id), name, defines=True)

    def way_back(self, node: s.FieldNode) -> None:
        """`list(Line), via(order)`: the field of the other entity."""
        other = self.entity_in(node.type)
        for modifier in node.modifiers:
            for arg in modifier.args if modifier.name.name == "via" else ():
                if isinstance(arg, s.NameExpr):
                    self.field(other, s.Ident(arg.span, arg.name))

    def known(self, kind: str, name: s.Ident | s.NameExpr) -> None:
        """A name of this kind, if one is declared; events have two spellings."""
        for each in (name.name, name.name.replace(".", "_")):
            if each in self.index.names[kind]:
                self.add(Symbol(kind, each), name)
                return

    def quoted(self, kind: str, node: object) -> None:
        """A name inside a text: `user.has("admin")`."""
        if isinstance(node, s.Literal_) and isinstance(node.value, str):
            span = node.span
            inner = s.Range(span.line, span.column + 1, span.end_line, span.end_column - 1)
            self.known(kind, s.Ident(inner, node.value))

    def field(self, entity: str, name: s.Ident) -> None:
        if name.name in self.index.fields.get(entity, {}):
            self.add(Symbol("field", name.name, entity), name)

    # --- everything else ---

    def walk(self, node: object) -> None:  # noqa: C901 - one line for each kind of node
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
            case s.CreateNode() | s.UpdateNode() | s.GivenNode() | s.ExpectNode():
                self.write(node)
            case s.DeleteNode() | s.RestoreNode():
                self.write(node)
            case s.FunctionNode() | s.VarNode() | s.AssignNode():
                self.scripted(node)
            case s.QueryNode():
                self.query(node)
            case s.Node():
                self.named(node)
                for part in node.__struct_fields__:
                    self.walk(getattr(node, part))

    def query(self, node: s.QueryNode) -> None:
        # The query language is read when a program has a query.
        from backstay.lang.lsp.queries import names_of

        known = {name: each if isinstance(each, str) else "" for name, each in self.bound.items()}
        for symbol, span in names_of(self.index, node, known, self.id):
            self.place(symbol, span)

    def named(self, node: s.Node) -> None:
        """What names a thing outside of the declaration."""
        match node:
            case s.CallNode() | s.StubNode():
                outside = node.integration.name
                self.add(Symbol("integration", outside), node.integration)
                self.add(Symbol("operation", node.operation.name, outside), node.operation)
            case s.StartNode() | s.RunNode():
                self.add(Symbol("workflow", node.workflow.name), node.workflow)
                owner = self.index.inputs.get(node.workflow.name, "")
                for entry in node.input:
                    self.add(Symbol("variable", entry.name.name, owner), entry.name)
            case s.EmitNode(event=event) | s.TriggerNode(value=s.Ident() as event):
                self.known("event", event)
            case s.HandlerNode(event=event):
                self.quoted("event", event)

    def scripted(self, node: s.FunctionNode | s.VarNode | s.AssignNode) -> None:
        """Functions and their parameters, variables that change."""
        match node:
            case s.FunctionNode(params=params):
                for each in params:
                    self.bound[each.name.name] = self.shape_of(each.type)
                    self.add(Symbol("variable", each.name.name, self.id), each.name, defines=True)
                    self.walk(each.type)
                self.walk(node.result)
                self.walk(node.body)
            case s.VarNode(name=name, value=value):
                self.walk(value)
                top = self.declaration.keyword.name == "var"
                self.bound[name.name] = self.shape(value)
                self.add(
                    Symbol("variable", name.name, SCRIPT if top else self.id), name, defines=True
                )
            case s.AssignNode(name=name, value=value):
                self.walk(value)
                self.variable(name)

    def variable(self, name: s.Ident | s.NameExpr) -> bool:
        """A variable of this declaration, or of the script."""
        top = self.declaration.keyword.name == "var"
        if name.name in self.bound and not (top and name.name in self.index.names["variable"]):
            self.add(Symbol("variable", name.name, self.id), name)
        elif name.name in self.index.names["variable"]:
            self.add(Symbol("variable", name.name, SCRIPT), name)
        else:
            return False
        return True

    def scoped(self, node: s.LetNode | s.ForNode | s.Each | s.Where | s.CallExpr) -> None:
        """What makes a name, or a row whose fields may stand alone."""
        match node:
            case s.LetNode(name=name, value=value):
                self.walk(value)
                self.bind(name, value)
            case s.Where(target=target, condition=condition):
                self.walk(target)
                row = target.of if isinstance(target, s.Dot) else target
                self.of_row(self.leads_to(row), condition)
            case s.CallExpr(callee=callee, args=args):
                self.called(callee, args)
                self.arguments(args)
            case _:
                self.walk(node.items)
                self.bind(node.variable, node.items)
                self.walk(node.body if isinstance(node, s.ForNode) else node.value)

    def called(self, callee: s.Expr, args: tuple[s.Expr, ...]) -> None:
        first = args[0] if args else None
        match callee:
            case s.Dot(of=s.NameExpr(name="user"), field=s.Ident(name="has")):
                self.quoted("role", first)
                return
            case s.NameExpr(name="emit") if isinstance(first, s.NameExpr):
                self.known("event", first)
            case s.NameExpr(name="start") if isinstance(first, s.NameExpr):
                self.known("workflow", first)
            case s.NameExpr():
                self.known("function", callee)
                self.known("workflow", callee)
        self.walk(callee)

    def arguments(self, args: tuple[s.Expr, ...]) -> None:
        """The variable of a lambda is an item of the list before it."""
        for arg in args:
            if isinstance(arg, s.Lambda):
                self.bind(arg.variable, args[0])
                self.walk(arg.value)
            else:
                self.walk(arg)

    def bind(self, name: s.Ident, value: object) -> None:
        self.bound[name.name] = self.shape(value)
        self.add(Symbol("variable", name.name, self.id), name, defines=True)

    def name(self, node: s.NameExpr | s.Dot) -> None:
        if isinstance(node, s.Dot):
            self.dot(node.of, node.field)
        elif node.name in self.index.fields.get(self.row, {}):
            self.add(Symbol("field", node.name, self.row), node)
        elif not self.variable(node):
            self.known("entity", node)

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
        if isinstance(node, s.DeleteNode | s.RestoreNode):
            return
        row = entity if isinstance(node, s.UpdateNode) else self.row
        for entry in node.values:
            self.field(entity, entry.name)
            self.of_row(row, entry.value)
            self.new_rows(self.index.entity_of(entity, entry.name.name), entry.value)
        if isinstance(node, s.UpdateNode):
            self.walk(node.otherwise)

    def new_rows(self, entity: str, value: s.Expr) -> None:
        """`[x in LIST: { field: … }]` of a list of rows."""
        if isinstance(value, s.Each) and isinstance(value.value, s.RecordExpr):
            for entry in value.value.fields:
                self.field(entity, entry.name)

    def of_row(self, entity: str, node: object) -> None:
        before, self.row = self.row, entity
        self.walk(node)
        self.row = before
