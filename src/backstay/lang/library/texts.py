"""Functions of texts."""

from backstay.lang.library.model import Function, function
from backstay.lang.library.operators import within
from backstay.lang.library.values import MAX_TEXT, Unfit, Value, a_list, a_text, fits, hole, whole


def _length(value: Value) -> Value:
    if isinstance(value, str | list | dict):
        return len(value)
    a_list(value)
    return None


def _split(text: Value, at: Value) -> Value:
    if not a_text(at):
        raise Unfit("split needs something to split at")
    return list(a_text(text).split(a_text(at)))


def _join(parts: Value, between: Value) -> Value:
    words = [hole(each) for each in a_list(parts)]
    fits(sum(map(len, words)) + len(a_text(between)) * len(words))
    return a_text(between).join(words)


def _replace(text: Value, old: Value, new: Value) -> Value:
    whole_text, before, after = a_text(text), a_text(old), a_text(new)
    if not before:
        raise Unfit("replace needs something to replace")
    if len(after) > len(before):
        fits(len(whole_text) + whole_text.count(before) * (len(after) - len(before)))
    return whole_text.replace(before, after)


def _contains(where: Value, what: Value) -> Value:
    if isinstance(where, str):
        return a_text(what) in where
    return within(what, where)


def _slice(value: Value, start: Value, end: Value) -> Value:
    first, last = whole(start, "the start"), whole(end, "the end")
    if first < 0 or last < 0:
        raise Unfit("slice counts from 0")
    if isinstance(value, str):
        return value[first:last]
    return a_list(value)[first:last]


def _pad(text: Value, width: Value, fill: Value) -> Value:
    if len(a_text(fill)) != 1:
        raise Unfit("pad fills with one character")
    wide = whole(width, "the width")
    fits(min(wide, MAX_TEXT + 1))
    return a_text(text).rjust(wide, a_text(fill))


def _parts(*values: Value) -> Value:
    return "".join(map(hole, values))


TEXTS: tuple[Function, ...] = (
    function(
        "len",
        ["list: list(T)", "text: string", "record: record"],
        "int",
        "How many items, characters or fields.",
        _length,
        walks=False,
    ),
    function(
        "length",
        ["list: list(T)", "text: string", "record: record"],
        "int",
        "The same as `len`.",
        _length,
        walks=False,
    ),
    function("lower", "text: string", "string", "In small letters.", lambda t: a_text(t).lower()),
    function("upper", "text: string", "string", "In capitals.", lambda t: a_text(t).upper()),
    function(
        "trim",
        "text: string",
        "string",
        "Without spaces at both ends.",
        lambda t: a_text(t).strip(),
    ),
    function(
        "split", "text: string, at: string", "list(string)", "The parts between `at`.", _split
    ),
    function("join", "list: list(T), between: string", "string", "The items as one text.", _join),
    function(
        "replace",
        "text: string, old: string, new: string",
        "string",
        "Every `old` made `new`.",
        _replace,
    ),
    function(
        "contains",
        ["text: string, part: string", "list: list(T), item: T"],
        "bool",
        "Whether the text has the part, the list the item.",
        _contains,
    ),
    function(
        "starts_with",
        "text: string, part: string",
        "bool",
        "Whether it begins with the part.",
        lambda t, part: a_text(t).startswith(a_text(part)),
    ),
    function(
        "ends_with",
        "text: string, part: string",
        "bool",
        "Whether it ends with the part.",
        lambda t, part: a_text(t).endswith(a_text(part)),
    ),
    function(
        "slice",
        ["text: string, start: int, end: int"],
        "string",
        "The characters from `start` up to, not with, `end`; counted from 0.",
        _slice,
    ),
    function(
        "pad",
        "text: string, width: int, fill: string",
        "string",
        'Filled up on the left: `pad(text(7), 3, "0")` is `007`.',
        _pad,
    ),
    function(
        "text", "value: T", "string", "As `print` writes it; null is empty.", _parts, nulls=True
    ),
)
