"""The syntax tree as plain data for `codeai parse`: versioned, every node with kind and place."""

from collections.abc import Iterator

from backstay.core.errors import Plain
from backstay.lang.syntax import Comment, File, Node, Range

VERSION = 1
"""Raised when a reader of the tree would have to change."""


def plain(file: File) -> dict[str, Plain]:
    """The tree of a file. `span` is [line, column, end line, end column], counted from 1, the end
    exclusive."""
    return {
        "version": VERSION,
        "file": file.name,
        "complete": not file.incomplete,
        "declarations": [_node(each, each.line) for each in file.declarations],
        "comments": [_comment(each) for each in file.comments],
    }


def _node(node: Node, base: int) -> dict[str, Plain]:
    made: dict[str, Plain] = {"kind": kind_of(node)}
    for name in node.__struct_fields__:
        if name == "line":
            continue
        made[name] = _value(getattr(node, name), base)
    return made


def _value(value: object, base: int) -> Plain:
    if isinstance(value, Node):
        return _node(value, base)
    if isinstance(value, Range):
        return [base + value.line, value.column, base + value.end_line, value.end_column]
    if isinstance(value, tuple):
        return [_value(each, base) for each in value]
    if isinstance(value, str | int | float | bool):
        return value
    return None


def _comment(comment: Comment) -> Plain:
    return {"text": comment.text, "line": comment.line, "column": comment.column}


def kind_of(node: Node) -> str:
    """The name of a node's kind, the same in JSON and in tables."""
    return str(type(node).__struct_config__.tag)


def outline(file: File) -> Iterator[tuple[str, str, int, int]]:
    """(kind, name, first line, number of members) of each declaration, in source order."""
    for each in file.declarations:
        name = each.name.name if each.name else ""
        if each.method and each.path:
            name = f"{each.method.name} {each.path.text}"
        yield each.keyword.name, name, each.line, len(each.block.members)
