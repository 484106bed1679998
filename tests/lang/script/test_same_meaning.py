"""The interpreter and the runtime mean the same by an expression: a test that passes in `codeai test`
says something about what is served."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.unit import Unit
from backstay.core.errors import Fault
from backstay.core.virtual import CountingIds
from backstay.lang.api import check_text, parse_text
from backstay.lang.library.values import moment, text
from backstay.lang.program import Action, Let
from backstay.lang.script import Limits, Outside, functions
from backstay.lang.script.interpreter import Script

BODY = """
    i: int, j: int, n: decimal(8, 2), m: decimal(8, 2), f: float
    s: string, z: string, yes: bool, t: timestamp, u: timestamp, d: date, w: duration
    xs: list(int), ns: list(decimal(8, 2)), ss: list(string)
    rows: list({ name: string, price: decimal(8, 2), count: int })
"""
NOW = 1_750_000_000

_INTS = st.integers(-20, 20)
_DECIMALS = st.decimals(-99, 99, places=2)
_TEXTS = st.text(st.sampled_from("abAB ,é1"), max_size=5)
_MOMENTS = st.integers(0, 4_000_000_000_000_000)
_VALUES = st.fixed_dictionaries(
    {
        "i": _INTS | st.none(),
        "j": _INTS,
        "n": _DECIMALS | st.none(),
        "m": _DECIMALS,
        "f": st.sampled_from([0.5, -2.25, 3.0]),
        "s": _TEXTS | st.none(),
        "z": _TEXTS,
        "yes": st.booleans(),
        "t": _MOMENTS | st.none(),
        "u": _MOMENTS,
        "d": st.dates().map(str),
        "w": st.sampled_from([0.0, 1.5, 90.0, 86400.0]),
        "xs": st.lists(_INTS, max_size=4) | st.none(),
        "ns": st.lists(_DECIMALS, max_size=4),
        "ss": st.lists(_TEXTS, max_size=4),
        "rows": st.lists(
            st.fixed_dictionaries({"name": _TEXTS, "price": _DECIMALS, "count": _INTS}), max_size=3
        ),
    }
)


def _call(name: str, *args: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*args).map(lambda given: f"{name}({', '.join(given)})")


def _op(left: st.SearchStrategy[str], signs: str, right: st.SearchStrategy[str]) -> Any:
    return st.builds("({} {} {})".format, left, st.sampled_from(signs.split()), right)


_SMALL = st.integers(0, 3).map(str)
_INT = st.sampled_from(["body.i", "body.j", "3", "-2", "0"])
_INT = st.recursive(
    _INT,
    lambda inner: st.one_of(
        _op(inner, "+ - * / %", inner),
        st.builds("({} > 0 ? {} : {})".format, inner, inner, inner),
        st.builds("[{}, {}][{}]".format, inner, inner, _SMALL),
        _call("abs", inner),
        _call("max", inner, inner),
        st.just("len(body.s)"),
        st.just("sum(body.xs)"),
        st.just("count(body.ss, s => s == body.z)"),
        st.just("sum(body.rows, row => row.count)"),
        st.just("min(body.xs)"),
        st.just("last(sort(body.xs))"),
        st.just("diff_days(body.t, body.u)"),
        st.just("month(body.u)"),
        _call("floor", st.sampled_from(["body.n", "body.f"])),
        _call("ceil", st.sampled_from(["body.n", "body.f"])),
    ),
    max_leaves=4,
)
_NUMBER = st.one_of(
    _INT,
    st.sampled_from(["body.n", "body.m", "2.50", "sum(body.ns)", "max(body.ns)"]),
    _op(st.sampled_from(["body.n", "body.m"]), "+ - * /", _INT),
    _call("round", st.sampled_from(["body.n", "body.m * 1.255"]), _SMALL),
    st.just("sum(body.rows, row => row.price * row.count)"),
    st.just("sum(row in body.rows: row.price)"),
    st.just("avg(body.xs)"),
    st.just("find(body.rows, row => row.count > 0).price"),
)
_WORD = st.recursive(
    st.sampled_from(["body.s", "body.z", '"ab"', '"{body.i}{body.s}"', '"{body.t} {body.w}"']),
    lambda inner: st.one_of(
        _op(inner, "+", inner),
        _call("upper", inner),
        _call("trim", inner),
        _call("replace", inner, st.just('"a"'), inner),
        _call("slice", inner, _SMALL, _SMALL),
        _call("join", st.just("body.ss"), inner),
        _call("first", _call("split", inner, st.just('","'))),
        st.just('join(map(sort_by(body.rows, row => row.price), row => row.name), "-")'),
        st.just('format_date(add_days(body.d, 1), "DD.MM.YYYY")'),
        st.just('join(unique(filter(body.ss, s => len(s) > 1)), " ")'),
    ),
    max_leaves=4,
)
_MOMENT = st.sampled_from(
    ["body.t", "body.u", "(body.u + body.w)", "(body.t - 36h)", "add_hours(body.u, 2)"]
)
_TEST = st.recursive(
    st.one_of(
        st.just("body.yes"),
        _op(_NUMBER, "== != < <= > >=", _NUMBER),
        _op(_WORD, "== != < >=", _WORD),
        _op(_MOMENT, "== < >=", _MOMENT),
        _op(_INT, "in", st.just("body.xs")),
        _call("contains", _WORD, _WORD),
        _call("starts_with", _WORD, _WORD),
        _call("any", st.just("body.rows"), st.just("row => row.price > body.m")),
        _call("all", st.just("body.xs"), st.just("x => x != body.i")),
    ),
    lambda inner: st.one_of(_op(inner, "and or", inner), inner.map("(not {})".format)),
    max_leaves=3,
)
_EXPRESSIONS = st.one_of(
    _NUMBER,
    _WORD,
    _MOMENT,
    _TEST,
    st.just("(body.u - body.t)"),
    st.just("map(body.xs, x => x * 2 + body.j)"),
    st.just("filter(body.rows, row => row.count > body.j)"),
    st.just("unique(body.ns)"),
    st.just("reverse(body.ss)"),
    st.just("(body.s ?? body.z)"),
)


def written(name: str, value: object) -> str:
    """A value as a script writes it."""
    if value is None:
        return "null"
    if name in ("t", "u"):
        return f'parse_timestamp("{moment(cast("int", value)).isoformat()}")'
    if name == "w":
        return f"{value}s"
    if name == "d":
        return f'parse_date("{value}")'
    if name == "f":
        return f'float("{value}")'
    if isinstance(value, list):
        return f"[{', '.join(written('', each) for each in value)}]"
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key}: {written('', each)}" for key, each in value.items())
        return f"{{ {inside} }}"
    return f'"{value}"' if isinstance(value, str) else text(cast("Any", value))


def served(expression: str, values: Mapping[str, object]) -> object:
    """What the runtime computes; its type decides how a decimal is shown."""
    source = f"endpoint POST /x {{\n body {{ {BODY} }}\n do {{\n let r = {expression}\n }}\n}}\n"
    program, found = check_text("a.cai", source)
    assert program is not None, (expression, found)
    does = program.endpoints[0].does
    assert isinstance(does, Action)
    (made,) = does.body
    assert isinstance(made, Let)
    closure = Evaluator(program, cast("Any", None)).closure(made.value)
    unit = Unit(cast("Any", None), NOW * 1_000_000, CountingIds(), {})
    try:
        return closure(unit, {"body": dict(values)})
    except Fault as fault:
        return fault.entry.code


def scripted(expression: str, values: Mapping[str, object]) -> object:
    """What the interpreter computes for the same."""
    fields = ", ".join(f"{name}: {written(name, value)}" for name, value in values.items())
    source = f"function f(body) {{ return {expression} }}\nvar r = f({{ {fields} }})\n"
    program, found = check_text("a.cai", source)
    assert program is not None, (expression, found)
    world = functions(lambda: NOW, CountingIds().new, lambda low, _: low)
    script = Script([parse_text("a.cai", source)[0]], print, Outside(functions=world), Limits())
    try:
        script.run()
    except Fault as fault:
        return {"LANG133": "APP023"}[fault.entry.code]
    return script.top.values["r"]


@settings(max_examples=200, deadline=None)
@given(_EXPRESSIONS, _VALUES)
def test_the_interpreter_and_the_runtime_agree(
    expression: str, values: Mapping[str, object]
) -> None:
    ours, theirs = scripted(expression, values), served(expression, values)
    assert ours == theirs, (expression, values)
    assert isinstance(ours, bool) is isinstance(theirs, bool)
    # A sum of nothing is 0, whatever would have been added.
    assert isinstance(ours, Decimal) is isinstance(theirs, Decimal) or ours == 0
