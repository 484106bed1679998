"""What two trees have to have in common to be the same program: everything but places and what
decision 18 calls a spelling."""

from collections.abc import Iterator

import msgspec

from backstay.lang import syntax as s
from backstay.lang.check.blocks import duration_of

_PLACES = frozenset({"span", "op_span", "line", "colons"})
_MAY_BE_TEXT = frozenset({"timeout", "reset_after", "initial_interval", "max_interval"})


def nodes(node: s.Node) -> Iterator[s.Node]:
    """The node and all below it."""
    waiting: list[object] = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, tuple):
            waiting += one
        elif isinstance(one, s.Node):
            yield one
            waiting += [getattr(one, name) for name in one.__struct_fields__]


def meaning(file: s.File) -> list[object]:
    """Equal for two files that say the same."""
    said: list[object] = []
    waiting: list[object] = [_addressed(each) for each in reversed(file.declarations)]
    while waiting:
        one = waiting.pop()
        if isinstance(one, tuple):
            said.append(len(one))
            waiting += reversed(one)
        elif isinstance(one, s.Node):
            said.append(type(one).__name__)
            waiting += reversed(_parts(one))
        else:
            said.append(one)
    return said


def _parts(node: s.Node) -> list[object]:
    if isinstance(node, s.Member) and node.name.name in _MAY_BE_TEXT:
        value = node.value
        seconds = duration_of(value) if isinstance(value, s.Literal_) else None
        if seconds is not None:
            return [node.name.name, seconds]
    return [getattr(node, name) for name in node.__struct_fields__ if name not in _PLACES]


def _addressed(node: s.Declaration) -> s.Declaration:
    """Without what a path in the old spelling says by itself: its parameters are texts."""
    if node.path is None:
        return node
    holes = {each.name for each in node.path.holes}
    members = [_without_texts(each, holes) for each in node.block.members]
    kept = tuple(each for each in members if each is not None)
    return msgspec.structs.replace(node, block=msgspec.structs.replace(node.block, members=kept))


def _without_texts(member: s.Member, holes: set[str]) -> s.Member | None:
    if member.name.name != "path" or not isinstance(member.value, s.RecordFields):
        return member
    kept = tuple(
        each
        for each in member.value.fields
        if each.name.name not in holes or each.modifiers or not _is_text(each.type)
    )
    value = msgspec.structs.replace(member.value, fields=kept)
    return msgspec.structs.replace(member, value=value) if kept else None


def _is_text(node: s.Node) -> bool:
    return isinstance(node, s.TypeName) and node.name.name == "string" and not node.args
