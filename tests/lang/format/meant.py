"""What a text means, whatever its spelling: the checked program without places, or what is wrong."""

import re

import msgspec

from backstay.lang.api import check_text
from backstay.lang.format import format_text
from backstay.lang.program import Place

_PLACE = re.compile(r"a\.cai:\d+:\d+")


def meant(text: str) -> object:
    """Equal for two texts that are the same program, or have the same mistakes."""
    program, found = check_text("a.cai", text)
    said = sorted((each.code, _PLACE.sub("", each.message)) for each in found)
    if program is None:
        return said
    # A path in the old spelling declares its parameters itself.
    uses = sorted(name for name, _ in program.uses if name != "endpoint.path")
    bare = msgspec.structs.replace(program, hash="", sources=(), uses=())
    return said, uses, _bare(bare)


def _bare(value: object) -> object:
    if isinstance(value, Place):
        return None
    if isinstance(value, msgspec.Struct):
        parts = [_bare(getattr(value, name)) for name in value.__struct_fields__]
        return [type(value).__name__, *parts]
    if isinstance(value, tuple):
        return [_bare(each) for each in value]
    # A float is no int here: `1` and `1.0` are different programs.
    return type(value).__name__, value


def respelled(text: str) -> str:
    """The canonical text, after it was seen to mean the same and to stay."""
    once = format_text(text)
    assert format_text(once) == once
    assert meant(once) == meant(text)
    return once
