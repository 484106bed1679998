"""Scripts run within bounds, and touch nothing that was not handed in."""

import subprocess
import sys
from pathlib import Path

import pytest

from backstay.core.errors import Fault
from backstay.lang.api import check_text, parse_text
from backstay.lang.script import Limits, Outside, run


def printed(text: str, outside: Outside | None = None, limits: Limits | None = None) -> str:
    program, found = check_text("s.cai", text)
    assert program is not None, found
    said: list[str] = []
    run([parse_text("s.cai", text)[0]], said.append, outside, limits)
    return "".join(said)


def refused(text: str, outside: Outside | None = None, limits: Limits | None = None) -> str:
    with pytest.raises(Fault) as fault:
        printed(text, outside, limits)
    return str(fault.value)


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ('print("a\\tb")', "a\tb\n"),
        ("var x = 1\nx = x + 2\nprint(x)", "3\n"),
        ("var xs = [1, 2.50, true]\nprint(xs)\nprint(len(xs))", "[1, 2.50, true]\n3\n"),
        ("for x in [1, 2, 3] { if x % 2 == 0 { print(x) } else { print(-x) } }", "-1\n2\n-3\n"),
        ("if 1 > 2 { print(1) } else if 2 > 1 { print(2) }", "2\n"),
        ("function f(a, b) { return a + b }\nprint(f(1, 2) * 2)", "6\n"),
        ("var n = 0\nfunction up() { n = n + 1 }\nup()\nup()\nprint(n)", "2\n"),
        ("var x = 1\nfor i in [5] { var x = i\n print(x) }\nprint(x)", "5\n1\n"),
        ('var name = "Ann"\nprint("hello {name}")', "hello Ann\n"),
        ("print(0.10 + 0.20)\nprint(7 / 2)\nprint(-7 / 2)", "0.30\n3\n-3\n"),
        ("print(1 > 2 ? 1 : 2)\nprint(null ?? 4)\nprint(2 in [1, 2])", "2\n4\ntrue\n"),
        ("print(sum(x in [1, 2]: x * 2))\nprint([x in [1, 2]: x + 1])", "6\n[2, 3]\n"),
        ("print([[1, 2], [3]][0][1])", "2\n"),
        ('print(env("HOME_OF", "none"))', "none\n"),
    ],
)
def test_what_a_script_prints(text: str, output: str) -> None:
    assert printed(text) == output


VALUES = {
    "0": False,
    "0.0": False,
    '""': False,
    "[]": False,
    "{}": False,
    "null": False,
    "false": False,
    "0s": False,
    "1": True,
    "-0.5": True,
    '"0"': True,
    "[0]": True,
    "{ a: null }": True,
    "true": True,
    "2s": True,
}


@pytest.mark.parametrize(("value", "holds"), VALUES.items(), ids=list(VALUES))
def test_a_script_asks_any_value(value: str, holds: bool) -> None:
    """The first version had no comparison: a bare name was its usual condition."""
    text = (
        f"var v = {value}\nif v {{ print(true) }} else {{ print(false) }}\n"
        "function f(a) { if a { return true } else { return false } }\nprint(f(v))\n"
        f"function g() {{ var w = {value}\n if w {{ return true }}\n return false }}\nprint(g())"
    )
    assert printed(text) == f"{str(holds).lower()}\n" * 3


@pytest.mark.parametrize(
    "text",
    ["var n = 1\nif n { print(n) }", 'if "a" { print(1) }', "function f() { if [1] { print(1) } }"],
)
def test_a_condition_of_a_script_that_is_no_bool_is_warned_of(text: str) -> None:
    program, found = check_text("s.cai", text)
    assert program is not None
    assert ("LANG063", "warning") in [(each.code, each.severity) for each in found]


@pytest.mark.parametrize(
    "text",
    [
        (
            "entity A { id: uuid, primary, auto }\n"
            "job j { schedule: every 1h\n do { if 1 { delete A where true } } }"
        ),
        'test "t" { if 1 { assert true } }',
        "var n = 1\nif not n { print(n) }",
    ],
)
def test_a_condition_elsewhere_is_true_or_false(text: str) -> None:
    program, found = check_text("s.cai", text)
    assert program is None
    assert [each.code for each in found if each.severity == "error"] == ["LANG050"]


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ('var s = "Hello {nobody}"\nprint(s)', "Hello {nobody}\n"),
        ('function f(a) { return "{a} {b}" }\nprint(f(1))', "1 {b}\n"),
        ('print("{x}")\nvar x = 1\nprint("{x}")', "{x}\n1\n"),
        ('function f() { return 1 }\nprint(f())\nprint("{f}")', "1\n{f}\n"),
    ],
)
def test_braces_around_no_name_are_text_in_a_script(text: str, output: str) -> None:
    """The first version had no holes in texts."""
    assert printed(text) == output
    assert [(each.code, each.severity) for each in check_text("s.cai", text)[1]] == [
        ("LANG045", "warning")
    ]


def test_a_hole_of_a_variable_that_is_not_yet_set_is_none_of_them() -> None:
    text = 'function f() { return "{x}" }\nprint(f())\nvar x = 1'
    assert "'x' has no value yet" in refused(text)


@pytest.mark.parametrize("text", ['var s = "{a.b}"', "var s = nobody"])
def test_other_names_of_nothing_stay_mistakes(text: str) -> None:
    assert "LANG030" in [each.code for each in check_text("s.cai", text)[1]]


def test_a_hole_in_a_do_block_needs_its_name() -> None:
    text = 'endpoint GET /a { auth: public\n do { fail 409 "no {nobody}" } }'
    assert [each.code for each in check_text("s.cai", text)[1]] == ["LANG030"]


def test_a_loop_over_too_much_ends() -> None:
    text = "var xs = [1, 2, 3, 4]\n" + "".join(
        f"{'  ' * deep}for a{deep} in xs {{\n" for deep in range(12)
    )
    text += "}" * 12
    assert refused(text, limits=Limits(steps=5000)).startswith("LANG130: s.cai:")


def test_memory_is_bounded() -> None:
    text = 'var t = "xxxxxxxxxx"\n' + "t = t + t\n" * 40
    assert "LANG131: s.cai:" in refused(text, limits=Limits(memory=100_000))


def test_a_list_of_itself_twice_counts_whole() -> None:
    """Printing or comparing it would take twice as long each time."""
    text = "var a = [1]\n" + "a = [a, a]\n" * 40 + "print(a)"
    assert "LANG131: s.cai:" in refused(text, limits=Limits(memory=100_000))


def test_a_number_cannot_grow_without_end() -> None:
    text = "var n = 99999999\n" + "n = n * n\n" * 40
    assert "the number is too large" in refused(text)


def test_a_function_that_calls_itself_ends() -> None:
    assert refused("function f(n) { return f(n + 1) }\nprint(f(0))").startswith("LANG132: s.cai:1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("var x = 1 / 0", "division by zero"),
        ("var x = [1][3]", "there is none at 3"),
        ('function f(a) { return a + 1 }\nvar x = f("s")', "'+' needs numbers"),
        ("function f(a) { for i in a { } }\nvar x = f(5)", "non-array type 'int'"),
        ('if true { fail "enough" }', "LANG137: s.cai:1:11: enough"),
    ],
)
def test_failures_have_a_place_and_a_sentence(text: str, says: str) -> None:
    message = refused(text)
    assert says in message
    assert "s.cai:" in message


def test_exec_runs_only_through_what_is_handed_in() -> None:
    text = "exec { echo \"}\" | sed 's/{/}/' }"
    assert refused(text).startswith("LANG135: s.cai:1:1")
    ran: list[str] = []
    printed(text, Outside(execute=lambda command: len(ran.append(command) or "")))
    assert ran == ["echo \"}\" | sed 's/{/}/'"]
    assert "ended with 3" in refused(text, Outside(execute=lambda _: 3))


def command(*args: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "backstay.cli.codeai", "run", *args]
    return subprocess.run(whole, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_prints_and_refuses_exec_before_the_first_step(tmp_path: Path) -> None:
    file = tmp_path / "s.cai"
    file.write_text('print("one")\nexec { echo two }\nprint("three")\n')
    refused_run = command(str(file))
    assert (refused_run.returncode, refused_run.stdout) == (2, "")
    assert "LANG135" in refused_run.stderr
    assert "--allow-exec" in refused_run.stderr
    allowed = command(str(file), "--allow-exec")
    assert (allowed.returncode, allowed.stdout) == (0, "one\ntwo\nthree\n")


def test_a_folder_or_several_files_are_one_program(tmp_path: Path) -> None:
    (tmp_path / "b.cai").write_text('print(greeting("b"))\n')
    (tmp_path / "a.cai").write_text(
        'var word = "hello"\nfunction greeting(who) { return "{word} {who}" }\nprint(greeting("a"))\n'
    )
    (tmp_path / "notes.txt").write_text("no program")
    expected = (0, "hello a\nhello b\n", "")
    for args in ([str(tmp_path)], [str(tmp_path / "b.cai"), str(tmp_path / "a.cai")]):
        done = command(*args)
        assert (done.returncode, done.stdout, done.stderr) == expected
    alone = command(str(tmp_path / "b.cai"))
    assert alone.returncode == 1
    assert "undefined function 'greeting'" in alone.stderr
    (tmp_path / "c.cai").write_text('print("c")\nexec { echo d }\nvar x = 1 / 0\n')
    ended = command(str(tmp_path), "--allow-exec")
    assert (ended.returncode, ended.stdout) == (1, "hello a\nhello b\nc\nd\n")
    assert f"{tmp_path / 'c.cai'}:3:9: division by zero" in ended.stderr
    assert "c.cai:2:1" in command(str(tmp_path)).stderr


@pytest.mark.seed("C11")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("var result = count", "ScopeError: undefined variable 'count'"),
        ("var x = 1\nvar x = 2", "ScopeError: duplicate declaration 'x'"),
        ("function f(a, a) { }\nf(1, 2)", "ScopeError: duplicate parameter 'a'"),
        ('for i in "text" { }', "TypeError: cannot iterate over non-array type 'string'"),
        ("var n = 5\nfor i in n { }", "TypeError: cannot iterate over non-array type 'int'"),
        ("var x = process(1)", "FunctionError: undefined function 'process'"),
        (
            "function add(a, b) { return a }\nprint(add(1))",
            "FunctionError: wrong number of arguments for 'add': expected 2, got 1",
        ),
        ("var data = 1\nvar x = data(2)", "FunctionError: 'data' is not a function"),
        ("function f() { }\nf = 5\nf()", "ScopeError: cannot assign to function 'f'"),
    ],
)
def test_seed_texts_of_a_script_in_a_real_process(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "s.cai"
    file.write_text(text)
    done = command(str(file))
    assert done.returncode == 1
    assert message in done.stderr
