"""Scripts that try to hang, to fill the machine or to end in a Python error; what was found so has
a test of its own. Bounds are counted, not timed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lang.script.test_library import EXPECTED, world
from tests.lang.script.test_script import command, printed, refused

from backstay.core.errors import Fault
from backstay.lang.api import check_text, parse_text
from backstay.lang.library import LIBRARY
from backstay.lang.library.values import MAX_NESTING, Timestamp, stamp
from backstay.lang.script import Limits, run

SMALL = Limits(steps=2000, memory=100_000)


def test_a_moment_is_judged_without_a_walk_through_all_moments() -> None:
    """`in range(…)` walks for a subclass of int: one date took longer than anybody waits."""
    assert stamp(Timestamp(1)) == 1
    assert printed("print(year(now() + 1h))", world()) == "2026\n"


@pytest.mark.parametrize("hours", ['float("1e308")', 'float("-1e308")', "99999999999999999999.5"])
def test_hours_without_end_are_no_python_error(hours: str) -> None:
    assert "LANG133" in refused(f"var x = add_hours(now(), {hours})", world())


def test_a_date_and_a_moment_of_unknown_type_are_compared_in_one_calendar() -> None:
    text = "function g(x) { return x }\nprint(diff_days(g(now() + 49h), g(today())))"
    assert printed(text, world()) == "2\n"


@pytest.mark.parametrize(
    "statement",
    [
        "var b = 5000000 in xs",
        "var b = xs == ys",
        "var b = contains(xs, 0 - 1)",
        "var b = sum(xs)",
        "var b = max(xs)",
        "var b = contains(t, words)",
        "var b = t == words",
        "print(xs)",
        'var b = "{t}" == t',
    ],
)
def test_going_through_a_long_value_is_no_single_step(statement: str) -> None:
    """A million comparisons of a million items each would be a million steps."""
    text = f"""
var xs = range(0, 4000)
var ys = range(0, 4000)
var t = pad("", 40000, "x")
var words = pad("", 39999, "x") + "y"
for i in range(0, 20) {{ {statement} }}
"""
    assert "LANG130" in refused(text, limits=Limits(steps=2000))


@pytest.mark.parametrize(
    "expression",
    [
        "range(0, 99999999999)",
        'pad("a", 999999999999, "x")',
        'join(range(0, 2000), pad("", 9000, "x"))',
        'replace(pad("", 9000, "x"), "x", pad("", 9000, "y"))',
    ],
)
def test_what_would_fill_the_machine_is_refused_before_it_is_made(expression: str) -> None:
    assert "the result would be larger than" in refused(f"var x = {expression}")


@pytest.mark.parametrize("inside", ["[a]", "{ x: a }", "merge({ a: 1 }, { b: a })"])
def test_nesting_without_end_is_refused_where_it_is_made(inside: str) -> None:
    """A list that is deeper than Python's stack cannot be printed, compared or written as JSON."""
    text = f'var a = parse_json("[1]")\nfor i in range(0, 5000) {{ a = {inside} }}\nprint(a)'
    assert f"nested deeper than {MAX_NESTING}" in refused(text)


@pytest.mark.parametrize(
    "text", ['join([pad("", 500, "["), pad("", 500, "]")], "")', 'pad("", 99999, "[")']
)
def test_json_without_end_is_refused(text: str) -> None:
    assert "LANG133" in refused(f"var x = parse_json({text})")


@pytest.mark.parametrize("step", ["n * n", "n + n * n", "n * 1000", "n * n % 7 + n * n"])
@pytest.mark.parametrize("start", ["9", "0.01", "9.99", 'float("1e300")', "1h"])
def test_numbers_grow_to_a_bound(start: str, step: str) -> None:
    text = f"function f(n) {{ return {step} }}\nvar n = {start}\n"
    text += "for i in range(0, 20000) { n = f(n) }"
    assert any(
        code in refused(text, limits=Limits(steps=60_000)) for code in ("LANG133", "LANG130")
    )


@pytest.mark.parametrize(
    "body",
    [
        "return f(n + 1)",
        "return sum(map([n], x => f(x + 1)))",
        "return map([n], a => map([a], b => map([b], c => f(c))))",
        f"return {'(' * 35}f(n){')' * 35}",
        f"return {'not ' * 35}f(n)",
        f"{'if true { ' * 30}return f(n){' }' * 30}",
        "for i in [1] { for j in [1] { let x = [k in [n]: f(k)] } }",
        "return sort_by([1, 2], x => f(x))",
    ],
)
def test_calls_without_end_are_a_fault_with_a_place(body: str) -> None:
    message = refused(f"function f(n) {{ {body} }}\nvar x = f(1)")
    assert message.startswith("LANG132: s.cai:")


def test_a_lambda_counts_its_steps_and_what_it_makes() -> None:
    many = "map(range(0, 1000), x => map(range(0, 1000), y => y))"
    assert "LANG130" in refused(f"var x = {many}", limits=SMALL)
    large = 'map(range(0, 100), x => pad("", 10000, "x"))'
    assert "LANG131" in refused(f"var x = {large}", limits=SMALL)


def test_a_lambda_sees_what_was_there_when_it_was_written() -> None:
    text = "var x = 1\nprint(map([2, 3], y => map([10], z => x + y + z)))\nprint(map([5], x => x))\nprint(x)"
    assert printed(text) == "[[13], [14]]\n[5]\n1\n"


def test_letters_of_all_kinds_are_counted_as_code_points() -> None:
    text = 'print(len("👨‍👩‍👧"))\nprint(slice("añ😀z", 1, 3))\nprint(upper("ﬁß"))\nprint("\\u00e9" == "é")'
    assert printed(text) == "5\nñ😀\nFISS\ntrue\n"


_ATOMS = """
null | true | 0 | -1 | 99999999999999999999 | 0.01 | "a" | "é😀" | 1h | now() | today() | [] |
{ a: 1 } | float("1e300") | parse_json("[1, null]") | x => x | x => 1
"""
_VALUES = st.recursive(
    st.sampled_from([each.strip() for each in _ATOMS.split("|")]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.builds("{{ a: {}, b: {} }}".format, inner, inner),
        st.builds("g({})".format, inner),
    ),
    max_leaves=4,
)
_CALLS = st.builds(
    lambda name, args: f"{name}({', '.join(args)})",
    st.sampled_from(sorted(LIBRARY)),
    st.lists(_VALUES, max_size=3),
)
_OPERATIONS = st.builds(
    "({} {} {})".format,
    _VALUES,
    st.sampled_from(["+", "-", "*", "/", "%", "==", "<", "in", "and", "??", "!="]),
    _VALUES,
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(_CALLS, _OPERATIONS))
def test_any_call_with_any_values_gives_a_value_or_a_fault(expression: str) -> None:
    """`g` hides the types, so that the interpreter sees what the checker would have refused."""
    text = f"function g(x) {{ return x }}\nvar nothing = g(1)\nvar r = {expression}\nprint(r)"
    program, _ = check_text("s.cai", text)
    if program is None:
        return
    said: list[str] = []
    try:
        run([parse_text("s.cai", text)[0]], said.append, world(), SMALL)
    except Fault as fault:
        said.append(fault.entry.code)
    assert said[-1] in ("LANG130", "LANG131", "LANG133") or said[-1].endswith("\n")


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 13, 50])
def test_steps_run_out_anywhere_with_a_place(limit: int) -> None:
    text = "\n".join(f"print({expression})" for expression, _ in EXPECTED)
    message = refused(text, world(), Limits(steps=limit))
    assert message.startswith("LANG130: s.cai:")


# --- the process ---


def test_what_the_environment_holds_may_be_no_text(tmp_path: Path) -> None:
    """A byte of the environment that is no UTF-8 could not be printed."""
    file = tmp_path / "s.cai"
    file.write_text('print(env("ODD"))\nprint(hash(env("ODD")) != "")\nprint(to_json(env("ODD")))')
    whole = [sys.executable, "-m", "backstay.cli.codeai", "run", str(file)]
    env = {**os.environb, b"ODD": b"a\xffb"}
    done = subprocess.run(whole, capture_output=True, timeout=60, check=False, env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b'a?b\ntrue\n"a?b"\n'


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_the_letters_gets_question_marks(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "s.cai"
    file.write_text('print("é 😀")')
    whole = [sys.executable, "-m", "backstay.cli.codeai", "run", str(file)]
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(whole, capture_output=True, timeout=60, check=False, env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode(encoding) == {"ascii": "? ?\n", "latin-1": "é ?\n"}[encoding]


def test_a_reader_that_has_enough_ends_the_script_quietly(tmp_path: Path) -> None:
    file = tmp_path / "s.cai"
    file.write_text("for i in range(0, 100000) { print(i) }")
    shell = f'"{sys.executable}" -m backstay.cli.codeai run "{file}" | head -n 1'
    done = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (b"0\n", b"")


def test_a_script_without_end_stops_at_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "s.cai"
    file.write_text("for i in range(0, 100000) { for j in range(0, 10) { } }")
    done = command(str(file), "--max-steps", "5000")
    assert done.returncode == 1
    assert "LANG130" in done.stderr
    assert "Traceback" not in done.stderr
