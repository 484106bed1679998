"""What every part of the tree has: a place."""

import msgspec


class Range(msgspec.Struct, frozen=True, gc=False):
    """A stretch of a declaration. Lines count from the declaration's own, columns from 1, in
    characters; the end is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


class Node(msgspec.Struct, frozen=True, tag_field="kind", tag=True):
    """Everything in the tree has a place."""

    span: Range


class Ident(Node, frozen=True):
    name: str
