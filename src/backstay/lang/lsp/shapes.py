"""What values are made of, worked out from trees alone: rows of which entity, or which record."""

from backstay.lang import syntax as s
from backstay.lang.lsp.index import Index

Shape = str | s.RecordFields
"""What a value is made of: the entity of its row, or a record; an empty text where unknown."""


class Shapes:
    """The names that are bound in a declaration (`bound`), and what comes in (`taken`)."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.bound: dict[str, Shape] = {}
        self.taken: dict[str, s.RecordFields] = {}

    def shape_of(self, node: object) -> Shape:
        """The entity inside a type, or the record that it is, also as the entries of a list."""
        match node:
            case s.RecordFields():
                return node
            case s.TypeName(name=s.Ident(name="list"), args=(item,)):
                return self.shape_of(item)
        return self.entity_in(node)

    def entity_in(self, node: object) -> str:
        """The entity inside `ref(E)`, `list(E)`, `paginated(E)` or `E`."""
        if not isinstance(node, s.TypeName):
            return ""
        if node.name.name in self.index.names["entity"]:
            return node.name.name
        return next((inner for inner in map(self.entity_in, node.args) if inner), "")

    def leads_to(self, node: object) -> str:
        """The entity whose row, or rows, an expression gives; nothing when it is not known."""
        found = self.shape(node)
        return found if isinstance(found, str) else ""

    def shape(self, node: object) -> Shape:
        """As `leads_to`, or the record that an expression gives, by itself or in a list."""
        match node:
            case s.CreateNode(entity=entity) | s.GivenNode(entity=entity):
                return entity.name
            case s.QueryNode():
                # The query language is read when a program has a query.
                from backstay.lang.lsp.queries import rows_of

                return rows_of(self.index, node)
            case s.NameExpr(name=name):
                entities = self.index.names["entity"]
                return self.bound.get(name) or (name if name in entities else "")
            case s.Dot(of=s.NameExpr(name=name), field=field) if name in self.taken:
                return self.member_of(self.taken[name], field.name)
            case s.Dot(of=of, field=field):
                outer = self.shape(of)
                if isinstance(outer, s.RecordFields):
                    return self.member_of(outer, field.name)
                return self.index.entity_of(outer, field.name)
            case s.Where(target=target):
                return self.shape(target)
            case s.CallExpr(args=(first, *_)):
                return self.shape(first)
        return ""

    def member_of(self, record: s.RecordFields, name: str) -> Shape:
        kinds = (each.type for each in record.fields if each.name.name == name)
        return self.shape_of(next(kinds, None))
