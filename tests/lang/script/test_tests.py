"""`test "name" { … }`: what the checker says of it, and what `codeai test` makes of it."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from backstay.app.unsupported import problems
from backstay.lang import program as p
from backstay.lang.api import check_text, parse_text
from backstay.lang.script import Outside, run_tests

EXAMPLES = Path(__file__).parents[3] / "examples" / "language"
APP = (EXAMPLES / "tests.cai").read_text()
SHOP = """
var rate = 19
var seen = [1, 2]

function taxed(price) {
  return price + price * rate / 100
}

function stored(name) {
  return count(Thing where label == name)
}

entity Thing {
  id: uuid, primary, auto
  label: string
}

if rate == 0 {
  print(taxed(len(seen)))
  print(stored("a"))
}
"""


def codeai(*args: str, stdin: str = "", folder: Path | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "backstay.cli.codeai", "test", *args],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def of_test(body: str) -> tuple[int, str]:
    """Exit code and output of a program with one test."""
    code, out, err = codeai("-", stdin=f'{SHOP}test "it" {{\n{body}\n}}\n')
    return code, out + err


def test_a_passing_test_says_so_and_nothing_more() -> None:
    code, out = of_test("print(1)\nassert taxed(100.00) == 119\nlet a = seen\nassert len(a) == 2")
    assert (code, out) == (0, " passed  it\n\n1 passed\n")


@pytest.mark.parametrize(
    ("condition", "sides"),
    [
        ("taxed(100.00) == 120", ["taxed(100.00) is 119.00"]),
        ("120 <= taxed(rate)", ["taxed(rate) is 22"]),
        ("3 in seen", ["seen is [1, 2]"]),
        ("1 == 1 and taxed(0.5) > len(seen)", ["taxed(0.5) is 0.595", "len(seen) is 2"]),
        ("rate == 1 or rate == 2", ["rate is 19", "rate is 19"]),
        ("not (rate == 19)", ["rate is 19"]),
        ("any(seen, x => x > 5)", ["any(seen, x => x > 5) is false"]),
        ('"a" + "b" == "ba"', ['"a" + "b" is "ab"']),
        ("seen[0] == null", ["seen[0] is 1"]),
        ("now() == null", ["now() is 2026-01-01T00:00:00.000000Z"]),
    ],
)
def test_a_failing_assertion_shows_place_and_both_sides(condition: str, sides: list[str]) -> None:
    code, out = of_test(f"  assert {condition}")
    assert code == 1
    lines = [line.strip() for line in out.splitlines()]
    assert lines[:2] == ["failed  it", f"<stdin>:23:3: LANG138: {condition}"]
    assert lines[2 : 2 + len(sides)] == sides
    assert lines[-1] == "1 failed"


def test_the_words_of_an_assertion_and_what_was_printed() -> None:
    code, out = of_test('print("so far")\nlet n = 3\nassert n == 4 else "{n} is not four"')
    assert code == 1
    assert "LANG138: 3 is not four\n" in out
    assert "printed:\n             so far\n" in out


def test_each_test_begins_anew() -> None:
    """Variables, the clock, names and chance are those of one test."""
    text = """
var n = 1
function up() { n = n + 1 }
test "one" { up()
  advance 1h
  assert n == 2 and now() == parse_timestamp("2026-01-01T01:00:00Z") }
test "two" { up()
  assert n == 2 and now() == parse_timestamp("2026-01-01T00:00:00Z")
  assert env("HOME", "no") == "no"
  assert random() == random() or true }
for i in [1, 2] { print("a script is not run by a test") }
"""
    assert codeai("-", stdin=text) == (0, " passed  one\n passed  two\n\n2 passed\n", "")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("assert 1 / 0 == 1", "LANG133: division by zero"),
        ("for i in range(0, 99999) { for j in range(0, 9) { } }", "LANG130: the script took more"),
        ('let t = pad("", 9999999, "x") + pad("", 9999999, "y")', "LANG131: the script made texts"),
        ('if true { fail "by itself" }', "LANG137: by itself"),
        ("advance 0s - 1h", "LANG133: advance takes a duration, not -1h0m0s"),
        ('assert env("HOME") == ""', "LANG133: the environment has no HOME"),
    ],
)
def test_whatever_stops_a_test_fails_it(body: str, says: str) -> None:
    code, out = of_test(f"  {body}")
    assert code == 1
    assert says in out
    assert "1 failed" in out


@pytest.mark.parametrize(
    ("body", "needs"),
    [
        ('assert stored("a") == 0', "count"),
        ("assert count(Thing) == 0", "count"),
        ('let _t = given Thing { label: "a" }', "given"),
        ('given Thing { label: "a" }', "given"),
        ('create Thing { label: "a" }', "create"),
        ('let _t = create Thing { label: "a" }', "create"),
        ('update Thing where label == "a" { label: "b" }', "update"),
        ('expect Thing where label == "a" { label: "b" }', "expect"),
    ],
)
def test_without_an_application_what_needs_one_is_not_run_and_never_passed(
    body: str, needs: str
) -> None:
    file, _ = parse_text("-", f'{SHOP}test "it" {{\nassert true\n{body}\n}}\n')
    (outcome,) = run_tests([file], Outside)
    assert (outcome.outcome, outcome.code) == ("not run", "LANG134")
    assert outcome.message == f"needs the app runtime: {needs}"


NOT_SERVED = """
entity Thing { id: uuid, primary, auto, label: string }
integration Far { type: graphql  base_url: "https://far.example.org" }
test "a" { given Thing { label: "a" } }
"""


def test_where_a_server_would_refuse_the_program_a_test_of_it_is_not_run() -> None:
    code, out, _ = codeai("-", stdin=NOT_SERVED)
    assert code == 2
    assert "not run  a\n" in out
    assert "UP019" in out
    assert "<stdin>:3:25" in out
    assert out.endswith("\n1 not run\n")


def test_a_failure_beside_one_that_was_not_run_is_a_failure() -> None:
    code, out, _ = codeai("-", stdin=f'{NOT_SERVED}test "b" {{ assert 1 == 2 }}')
    assert code == 1
    assert out.endswith("\n1 failed, 1 not run\n")


def test_the_examples() -> None:
    code, out, _ = codeai(str(EXAMPLES / "library.cai"))
    assert (code, out.splitlines()[-1]) == (0, "4 passed")
    code, out, _ = codeai(str(EXAMPLES / "tests.cai"))
    assert (code, out.splitlines()[-1]) == (0, "3 passed")


def test_a_folder_is_one_program_and_tests_are_chosen_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.cai").write_text(
        'function one() { return 1 }\ntest "First thing" { assert one() == 1 }'
    )
    (tmp_path / "b.cai").write_text('test "second" {\n  assert one() == 2\n}')
    code, out, _ = codeai(folder=tmp_path)
    assert code == 1
    assert "b.cai:2:3: LANG138: one() == 2" in out
    assert codeai(str(tmp_path), "--only", "first")[0] == 0
    both = codeai(str(tmp_path / "b.cai"), str(tmp_path / "a.cai"))
    assert both[1].splitlines()[-1] == "1 passed, 1 failed"


def test_no_test_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "a.cai").write_text("print(1)")
    for args in ((str(tmp_path),), (str(tmp_path / "a.cai"), "--only", "x")):
        code, out, err = codeai(*args)
        assert (code, out) == (2, "")
        assert "LANG139: no test in" in err
    assert codeai(str(tmp_path / "missing"))[0] == 2


def test_a_program_with_mistakes_runs_no_test() -> None:
    code, out, err = codeai("-", stdin='test "a" { assert one() }\ntest "b" { assert true }')
    assert (code, out) == (1, "")
    assert "undefined function 'one'" in err


def test_json_and_junit_tell_the_same(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    text = (
        f'{SHOP}test "good" {{ }}\ntest "bad \\u0007 <&>" {{\n  assert text(rate) == "a\\u0001"\n}}\n'
        'test "later" { given Thing { } }\n'
    )
    code, out, _ = codeai("-", "--output", "json", "--junit", str(report), stdin=text)
    assert code == 1
    told = json.loads(out)
    assert (told["passed"], told["failed"], told["not_run"]) == (1, 1, 1)
    bad = told["tests"][1]
    assert (bad["outcome"], bad["place"], bad["code"]) == ("failed", "<stdin>:24:3", "LANG138")
    assert bad["sides"][0] == {"text": "text(rate)", "value": '"19"'}
    root = ET.fromstring(report.read_bytes())
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "1")
    cases = list(root.iter("testcase"))
    assert [case.get("name") for case in cases] == ["good", "bad \ufffd <&>", "later"]
    assert [[child.tag for child in case] for case in cases] == [[], ["failure"], ["error"]]
    assert "text(rate) is" in (cases[1][0].text or "")


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    code, _, err = codeai("-", "--junit", str(tmp_path / "no" / "r.xml"), stdin='test "a" { }')
    assert code == 2
    assert "LANG124" in err


# --- the checker ---


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("assert 1 + 1", "'assert': expected bool, got int"),
        ("assert rate == 19 else 5", "the message: expected string, got int"),
        ("assert total == 1", "undefined variable 'total'"),
        ("advance 5", "'advance': expected duration, got int"),
        ("exec { ls }", "exec in a test"),
        ("given Bil { }", "unknown entity 'Bil'"),
        ('given Bill { customer: "a" }', "amount"),
        ('given Bill { customer: "a", amount: 1, colour: 2 }', "unknown field 'colour'"),
        ('expect Bill where status == "odd" { }', "odd"),
        ("expect Bill where id == null { amount: true }", "field 'amount'"),
        ("stub Bnk.charge returns { }", "unknown integration 'Bnk'"),
        ("stub Bank.chrge returns { }", "unknown operation 'chrge' of integration 'Bank'"),
        ("stub Bank.charge fails 200", "200"),
        ("run collct { }", "unknown workflow 'collct'"),
        ("run collect { }", "bill"),
        ("let a = call GET /bill/1", "no endpoint GET /bill/1"),
        ("call PATCH /bills/5", "no endpoint PATCH /bills/5"),
        ("let a = call GET /bills/5\nassert a.code == 1", "unknown field 'code' on the record"),
        ("let a = run collect { bill: null }\nassert a.state == 1", "unknown field 'state'"),
        ("let a = stub Bank.charge returns 1", "let with stub"),
        ("asert true", "a statement"),
    ],
)
def test_what_the_checker_says(body: str, says: str) -> None:
    program, found = check_text("a.cai", f'{APP}\nvar rate = 19\ntest "it" {{\n  {body}\n}}\n')
    assert program is None
    messages = [each.message for each in found]
    assert len(messages) == 1, messages
    assert says in messages[0] + found[0].hint


def test_a_name_stands_once_and_is_a_text() -> None:
    _, found = check_text("a.cai", 'test "a" { }\ntest "a" { }\ntest b { }')
    assert [each.code for each in found] == ["LANG100", "LANG010"]
    assert found[0].related[0].says == "first declared here"


def test_the_words_of_tests_stay_free_everywhere_else() -> None:
    text = """
function assert(x) { return x }
var test = 1
var given = assert(test)
test = 2
for stub in [1] { print(stub) }
function call(expect) { return expect }
test "soft" {
  var run = 1
  run = call(run) + 1
  let advance = run
  assert (run) + 0 == 2 and advance == 2
}
"""
    program, found = check_text("a.cai", text)
    assert program is not None, found
    assert codeai("-", stdin=text)[:2] == (0, " passed  soft\n\n1 passed\n")


def test_a_test_keeps_no_program_from_being_served() -> None:
    """A test may use what a server does not run; the program around it is served all the same."""
    plain, _ = check_text("a.cai", APP.partition("test ")[0])
    tested, _ = check_text("a.cai", APP + '\ntest "more" { var a = [1][0] % 2 == 1 ? 1 : 2 }')
    assert plain is not None
    assert tested is not None
    assert problems(tested) == problems(plain) == []


def test_the_checked_program_holds_what_a_runtime_has_to_do() -> None:
    program, _ = check_text("a.cai", APP)
    assert program is not None
    first, second, third = program.tests
    assert (first.name, first.place.line) == ("a bill is charged and paid", 64)
    assert [type(each).__name__ for each in first.body] == ["Stub", "Visit", "Assert", "Expect"]
    row, stub, run, _, later, *_ = second.body
    assert isinstance(row, p.Given)
    assert row.into == "bill"
    assert isinstance(stub, p.Stub)
    assert stub.fails == 503
    assert isinstance(run, p.RunWorkflow)
    assert isinstance(later, p.Advance)
    visit = third.body[0]
    assert isinstance(visit, p.Visit)
    assert (visit.method, visit.into) == ("POST", "answer")
    assert isinstance(visit.user, p.Record)
