"""What an endpoint reads: the tables behind its answer, and whether the answer depends on who asks.

Both are found by walking the checked program, so they name too much rather than too little.
"""

from collections.abc import Iterator

import msgspec

from backstay.lang.program import (
    Ask,
    Call,
    Endpoint,
    Entity,
    ListOf,
    Name,
    OneOf,
    Program,
    QueryStep,
)


class Reads(msgspec.Struct, frozen=True):
    """`by_user`: an access rule, a condition or an expression on the way reads `user`; `headers`
    are those that the endpoint declares, in lower case."""

    tables: tuple[str, ...]
    by_user: bool
    headers: tuple[str, ...] = ()


def reads_of(program: Program, endpoint: Endpoint) -> Reads:
    """Of an endpoint that lists rows or shows one."""
    known = {entity.name: entity for entity in program.entities}
    functions = {function.name: function for function in program.functions}
    nodes: list[object] = [endpoint]
    seen: dict[str, Entity] = {}
    by_user = False
    while nodes:
        for node in _below(nodes.pop()):
            by_user = by_user or _asks_who(node)
            if isinstance(node, Call) and node.name in functions:
                # What a function of the program reads belongs to it, looked at once.
                nodes.append(functions.pop(node.name))
            for entity in _entities(node, known):
                if entity.name not in seen:
                    seen[entity.name] = entity
                    nodes += [entity.access, *_related(endpoint, entity)]
    tables = tuple(sorted(entity.table for entity in seen.values()))
    headers = tuple(field.name.lower().replace("_", "-") for field in endpoint.header_fields)
    return Reads(tables, by_user, headers)


def _asks_who(node: object) -> bool:
    match node:
        case Name(name="user"):
            return True
        case Call(name=name):
            return name.startswith("user.")
    return False


def _entities(node: object, known: dict[str, Entity]) -> Iterator[Entity]:
    """A type, a list or an expression says of which entity it is; a query may be of any."""
    if isinstance(node, Ask | QueryStep):
        yield from known.values()
    name = getattr(node, "entity", None)
    if isinstance(name, str) and name in known:
        yield known[name]


def _related(endpoint: Endpoint, entity: Entity) -> Iterator[object]:
    """Fields whose rows are shown beside the row."""
    if isinstance(endpoint.does, ListOf | OneOf):
        yield from (field.type for field in entity.fields if field.name in endpoint.does.include)


def _below(node: object) -> Iterator[object]:
    if isinstance(node, msgspec.Struct):
        yield node
        for name in node.__struct_fields__:
            yield from _below(getattr(node, name))
    elif isinstance(node, tuple):
        for item in node:
            yield from _below(item)
