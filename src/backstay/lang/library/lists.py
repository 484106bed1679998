"""Functions of lists and records."""

from backstay.lang.library.model import Function, function
from backstay.lang.library.operators import truth
from backstay.lang.library.values import (
    Of,
    Unfit,
    Value,
    a_list,
    a_record,
    a_text,
    equal,
    fits,
    ordered,
    rank,
    whole,
)


def _filter(items: Value, test: Of) -> Value:
    return [each for each in a_list(items) if truth(test(each))]


def _find(items: Value, test: Of) -> Value:
    return next((each for each in a_list(items) if truth(test(each))), None)


def _count(items: Value, test: Of | None = None) -> Value:
    found = a_list(items)
    return len(found) if test is None else sum(truth(test(each)) for each in found)


def _sort(items: Value) -> Value:
    found = a_list(items)
    ordered(found, "sort")
    return sorted(found, key=rank)


def _sort_by(items: Value, by: Of) -> Value:
    found = a_list(items)
    keys = [by(each) for each in found]
    ordered(keys, "sort_by")
    places = sorted(range(len(found)), key=lambda place: rank(keys[place]))
    return [found[place] for place in places]


def _unique(items: Value) -> Value:
    """The first of equal items stays where it is; what cannot be a key is compared one by one."""
    seen: set[object] = set()
    odd: list[Value] = []
    found: list[Value] = []
    for each in a_list(items):
        if isinstance(each, list | dict):
            if any(equal(each, other) for other in odd):
                continue
            odd.append(each)
            if len(odd) > _MOST_COMPARED:
                raise Unfit(f"unique takes at most {_MOST_COMPARED} different lists and records")
        else:
            key = (isinstance(each, bool), each)
            if key in seen:
                continue
            seen.add(key)
        found.append(each)
    return found


_MOST_COMPARED = 1000


def _range(start: Value, end: Value) -> Value:
    first, last = whole(start, "the start"), whole(end, "the end")
    fits(last - first)
    return list(range(first, last))


def _flatten(items: Value) -> Value:
    inner = [a_list(each) for each in a_list(items)]
    fits(sum(map(len, inner)))
    return [each for part in inner for each in part]


def _get(record: Value, name: Value, otherwise: Value = None) -> Value:
    if record is None or name is None:
        return otherwise
    return a_record(record).get(a_text(name), otherwise)


LISTS: tuple[Function, ...] = (
    function(
        "first",
        "list: list(T)",
        "T",
        "The first item; null of an empty list.",
        lambda items: next(iter(a_list(items)), None),
        walks=False,
    ),
    function(
        "last",
        "list: list(T)",
        "T",
        "The last item; null of an empty list.",
        lambda items: (a_list(items) or [None])[-1],
        walks=False,
    ),
    function(
        "count",
        ["list: list(T)", "list: list(T), test: T => bool"],
        "int",
        "How many items, or how many of them pass.",
        _count,
        walks=False,
    ),
    function(
        "map",
        "list: list(T), of: T => U",
        "list(U)",
        "What the lambda makes of each item; `[x in LIST: EXPR]` says the same.",
        lambda items, of: [of(each) for each in a_list(items)],
    ),
    function(
        "filter", "list: list(T), test: T => bool", "list(T)", "The items that pass.", _filter
    ),
    function(
        "find", "list: list(T), test: T => bool", "T", "The first that passes, or null.", _find
    ),
    function(
        "any",
        "list: list(T), test: T => bool",
        "bool",
        "Whether one passes; false of an empty list.",
        lambda items, test: any(truth(test(each)) for each in a_list(items)),
    ),
    function(
        "all",
        "list: list(T), test: T => bool",
        "bool",
        "Whether each passes; true of an empty list.",
        lambda items, test: all(truth(test(each)) for each in a_list(items)),
    ),
    function("sort", "list: list(O)", "list(O)", "From small to large, null first.", _sort),
    function(
        "sort_by",
        "list: list(T), by: T => O",
        "list(T)",
        "From the smallest `by` to the largest; equal ones keep their order.",
        _sort_by,
    ),
    function(
        "reverse",
        "list: list(T)",
        "list(T)",
        "From the last to the first.",
        lambda items: a_list(items)[::-1],
    ),
    function("unique", "list: list(T)", "list(T)", "The first of equal items.", _unique),
    function("flatten", "list: list(list(T))", "list(T)", "The items of all lists.", _flatten),
    function(
        "range", "start: int, end: int", "list(int)", "From `start` up to, not with, `end`.", _range
    ),
    function(
        "keys",
        "record: record",
        "list(string)",
        "The names of its fields.",
        lambda record: list(a_record(record)),
    ),
    function(
        "values",
        "record: record",
        "list(any)",
        "The values of its fields.",
        lambda record: list(a_record(record).values()),
    ),
    function(
        "has",
        "record: record, name: string",
        "bool",
        "Whether it has a field of this name.",
        lambda record, name: a_text(name) in a_record(record),
        walks=False,
    ),
    function(
        "get",
        ["record: record, name: string", "record: record, name: string, otherwise: T"],
        "any",
        "The field of this name; where there is none, null or what is given.",
        _get,
        nulls=True,
        walks=False,
    ),
    function(
        "merge",
        "record: record, over: record",
        "any",
        "The fields of both; those of the second win.",
        lambda one, over: {**a_record(one), **a_record(over)},
    ),
)
