"""Types and fields as they were written."""

from backstay.lang.syntax.expressions import Expr, Literal_
from backstay.lang.syntax.nodes import Ident, Node


class TypeName(Node, frozen=True):
    """`uuid`, `decimal(10, 2)`, `ref(Customer)`, `enum(a, b)`, `list(T)`, `paginated(E)`."""

    name: Ident
    args: tuple["TypeName | RecordFields | Literal_ | Ident", ...] = ()


class Modifier(Node, frozen=True):
    """`required`, `min(1)`, `default(now())`."""

    name: Ident
    args: tuple["Expr", ...] = ()


class FieldNode(Node, frozen=True):
    """`name: type, modifier, …`."""

    name: Ident
    type: "TypeName | RecordFields"
    modifiers: tuple[Modifier, ...] = ()


class RecordFields(Node, frozen=True):
    """`{ field … }` as a type, and the blocks `path`, `query`, `body`, `input`."""

    fields: tuple[FieldNode, ...]
    broken: bool = False
