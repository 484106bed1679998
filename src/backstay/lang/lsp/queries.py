"""The names inside a query of a program, with their places."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

import msgspec

from backstay.lang import syntax as s
from backstay.lang.check.queries import Quoted
from backstay.lang.lsp.index import Index, Symbol
from backstay.lang.query import tree as q
from backstay.lang.query.errors import QueryError
from backstay.lang.query.parser import parse

Found = Iterator[tuple[Symbol, s.Range]]


def names_of(index: Index, node: s.QueryNode, bound: Mapping[str, str], owner: str) -> Found:
    """The entity, the fields and the parameters of a query; nothing while it cannot be read."""
    try:
        made = parse(node.text)
    except QueryError:
        return
    if made.entity is None:
        return
    quoted = Quoted(node.span, node.text)
    entity = next((e for e in index.fields if e.lower() == made.entity.name.lower()), "")
    if entity and entity == made.entity.name:
        yield Symbol("entity", entity), quoted.range(made.entity.at.line, made.entity.at.column)
    said = (made.columns, made.assigned, made.where, made.order, made.group, made.having)
    whole = (*said, made.limit, made.offset, made.include)
    yield from _inside(whole, index, quoted, entity, bound, owner)


def rows_of(index: Index, node: s.QueryNode) -> str:
    """The entity whose fields the records of a query have; nothing where one has another name."""
    try:
        made = parse(node.text)
    except QueryError:
        return ""
    if made.entity is None or any(each.name for each in made.columns):
        return ""
    return next((e for e in index.fields if e.lower() == made.entity.name.lower()), "")


def _inside(
    whole: object,
    index: Index,
    quoted: Quoted,
    entity: str,
    bound: Mapping[str, str],
    owner: str,
) -> Found:
    waiting: list[object] = [whole]
    while waiting:
        each = waiting.pop()
        match each:
            case q.Path(names=names):
                yield from _path(index, quoted, entity, names)
            case q.Ref():
                yield from _path(index, quoted, entity, (each,))
            case q.Value(kind="param", text=text):
                yield from _parameter(index, quoted, each, text.split("."), bound, owner)
            case tuple():
                waiting += each
            case msgspec.Struct():
                waiting += [getattr(each, name) for name in each.__struct_fields__]


def _path(index: Index, quoted: Quoted, entity: str, names: tuple[q.Ref, ...]) -> Found:
    for ref in names:
        if ref.name in index.fields.get(entity, {}):
            yield Symbol("field", ref.name, entity), quoted.range(ref.at.line, ref.at.column)
        entity = index.entity_of(entity, ref.name)


def _parameter(
    index: Index,
    quoted: Quoted,
    value: q.Value,
    names: list[str],
    bound: Mapping[str, str],
    owner: str,
) -> Found:
    line, column = value.at.line, value.at.column + 1
    entity = bound.get(names[0], "")
    if names[0] in bound:
        yield Symbol("variable", names[0], owner), quoted.range(line, column)
    for before, name in pairwise(names):
        column += len(before) + 1
        if name in index.fields.get(entity, {}):
            yield Symbol("field", name, entity), quoted.range(line, column)
        entity = index.entity_of(entity, name)
