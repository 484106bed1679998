"""What the language means: names, types, refusals, the seed's words."""

import pytest

from backstay.lang import program as p
from backstay.lang.api import check_files, check_text, parse_text
from backstay.lang.diagnostics import Diagnostic
from backstay.lang.tree import plain

BASE = """
config { auth: jwt { secret: env("S", "x") } }
entity A { id: uuid, primary, auto
  n: int
  s: string
  d: decimal(10, 2)
  at: timestamp
  bs: list(B) }
entity B { id: uuid, primary, auto, a: ref(A), required, k: enum(x, y) }
workflow w { input { a: ref(A), required } steps { one { do { delete B where k == "x" } } } }
"""


def found(text: str) -> list[Diagnostic]:
    return check_text("a.cai", BASE + text)[1]


def messages(text: str) -> list[str]:
    return [f"{each.kind}: {each.message}" for each in found(text)]


def in_job(statements: str) -> str:
    return 'job j { schedule: "0 0 * * *"\n do {\n' + statements + "\n} }"


def in_post(statements: str, body: str = "body { x: int, t: string, l: list(int) }") -> str:
    return f"endpoint POST /x {{ auth: public\n {body}\n do {{\n{statements}\n}} }}"


def checked(text: str) -> p.Program:
    program, problems = check_text("a.cai", BASE + text)
    assert [each for each in problems if each.severity == "error"] == []
    assert program is not None
    return program


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        ("let a = count", "ScopeError: undefined variable 'count'"),
        ("let i = 1\n let i = 2", "ScopeError: duplicate declaration 'i'"),
        ("for i in 5 { }", "TypeError: cannot iterate over non-array type 'int'"),
        ('for i in "abc" { }', "TypeError: cannot iterate over non-array type 'string'"),
        ("let a = process(1)", "FunctionError: undefined function 'process'"),
        (
            "let a = lower()",
            "FunctionError: wrong number of arguments for 'lower': expected 1, got 0",
        ),
        ("let data = 1\n let b = data(2)", "FunctionError: 'data' is not a function"),
    ],
)
def test_seed_texts_of_validation_errors(statements: str, message: str) -> None:
    """C11, in process."""
    assert messages(in_job(statements)) == [message]


@pytest.mark.parametrize("text", ["import x", "type T = int", "enum E { a }"])
def test_what_the_language_does_not_have_is_refused_once(text: str) -> None:
    problems = found("\n" + text + "\nentity Last { id: uuid, primary, auto }\n")
    assert [each.code for each in problems] == ["LANG020"]
    assert problems[0].message.endswith("is not supported in this version")


def test_after_a_refusal_the_rest_is_still_checked() -> None:
    text = "import x\nentity C { id: uuid, primary, auto\n x: strng }"
    assert [each.code for each in found(text)] == ["LANG020", "LANG039"]


def test_keywords_are_names_where_a_name_is_wanted() -> None:
    text = """
    entity Entity { id: uuid, primary, auto
      status: string
      order: int
      index: int
      description: text
      access: bool
      do: string
      where: string
      workflow: string
      index: [status, index]
    }"""
    program = checked(text)
    fields = [field.name for field in program.entity("Entity").fields]
    assert fields == [
        "id",
        "status",
        "order",
        "index",
        "description",
        "access",
        "do",
        "where",
        "workflow",
    ]
    assert program.entity("Entity").indexes == (p.Index(("status", "index")),)


def test_members_by_comma_or_line_with_trailing_commas_in_any_order() -> None:
    one = checked(
        "entity C { access { read: true, }, name: string, required, id: uuid, primary, auto, }"
    )
    two = checked(
        "entity C {\n  name: string, required\n  id: uuid, primary, auto\n  access {\n    read: true\n  }\n}"
    )
    assert one.entity("C") == two.entity("C")


def test_a_folder_is_one_program_in_any_order() -> None:
    files = [
        ("b.cai", "entity B { id: uuid, primary, auto, a: ref(A) }"),
        ("a.cai", "entity A { id: uuid, primary, auto, bs: list(B) }"),
    ]
    program, problems = check_files(files)
    assert problems == []
    assert program is not None
    assert program == check_files(files[::-1])[0]
    assert [name for name, _ in program.sources] == ["a.cai", "b.cai"]


def test_the_second_declaration_points_to_the_first_in_another_file() -> None:
    text = "\n\nentity A { id: uuid, primary, auto }"
    program, problems = check_files([("a.cai", text), ("b.cai", text)])
    assert program is None
    assert [(each.span.file, each.message) for each in problems] == [
        ("b.cai", "duplicate declaration 'A'")
    ]
    first = problems[0].related[0].span
    assert (first.file, first.line, first.column) == ("a.cai", 3, 8)


def test_the_hash_depends_on_base_names_and_texts_only() -> None:
    def digest(*sources: tuple[str, str]) -> str:
        program = check_files(sources)[0]
        assert program is not None
        return program.hash

    assert digest(("a", ""), ("b", "")) == digest(("b", ""), ("a", ""))
    assert digest(("/one/a", ""), ("/one/b", "# b")) == digest(("two/b", "# b"), ("two/a", ""))
    assert digest(("a", "# x")) != digest(("a", "# y"))
    assert digest(("ab", "")) != digest(("a", "# b"))


def test_two_refs_back_are_ambiguous_until_via_says_which() -> None:
    text = "entity C { id: uuid, primary, auto\n all: list(D) }\nentity D { id: uuid, primary, auto\n x: ref(C)\n y: ref(C) }"
    assert [each.code for each in found(text)] == ["LANG071"]
    program = checked(text.replace("list(D)", "list(D), via(y)"))
    assert program.entity("C").fields[1].type == p.ManyType("D", "y")


def test_a_path_begins_with_the_variable_a_bare_name_is_the_column() -> None:
    text = """workflow v { input { a: ref(A), required }
      steps { one { do { delete B where a == a.id } } } }"""
    step = checked(text).workflows[1].steps[0].work
    assert isinstance(step, p.DoStep)
    delete = step.body[0]
    assert isinstance(delete, p.Delete)
    where = delete.where
    assert isinstance(where, p.Binary)
    assert where.left == p.Column("a", p.RefType("A"))
    assert where.right == p.Get(p.Name("a", p.RefType("A")), "id", p.ScalarType("uuid"))
    # The reader is warned that the bare `a` is not the variable.
    assert [(each.code, each.severity) for each in found(text)] == [("LANG094", "warning")]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("1 + 2", "int"),
        ("body.x * 1.50", "decimal"),
        ("body.x > 3", "bool"),
        ("now() - 5m", "timestamp"),
        ("now() - now()", "duration"),
        ('"a" + body.t', "string"),
        ('body.t ?? "none"', "string"),
        ("len(body.l)", "int"),
        ("sum(i in body.l: i * 2)", "int"),
        ("count(A)", "int"),
        ("avg(A.n)", "float"),
        ("max(A.at where n > 3)", "timestamp"),
        ("not (body.x in [1, 2, 3])", "bool"),
        ("user.id", "string"),
        ("-body.x", "int"),
    ],
)
def test_types_of_expressions(value: str, kind: str) -> None:
    program = checked(in_post(f"let v = {value}\n return {{ v: v }}"))
    does = program.endpoints[0].does
    assert isinstance(does, p.Action)
    let = does.body[0]
    assert isinstance(let, p.Let)
    assert (getattr(let.value.type, "name", "decimal")) == kind


@pytest.mark.parametrize(
    ("statements", "code"),
    [
        ('let v = body.x + "a"', "LANG052"),
        ("let v = body.t > 3", "LANG052"),
        ("let v = body.x and true", "LANG050"),
        ("let v = 1.5 * 2 == true", "LANG052"),
        ("update A where bs == 1 { n: 1 }", "LANG058"),
        ("update A where n == 1 { id: uuid() }", "LANG058"),
        ('update A where n == 1 { n: "x" }', "LANG050"),
        ("create A { d: 1.234 }", "LANG055"),
        ('create A { at: "yesterday" }', "LANG055"),
        ("create B { a: body.t }", "LANG050"),
        ('fail 200 "no"', "LANG055"),
        ("for i in body.l { return i }", "LANG093"),
        ("call: X.y { }", "LANG020"),
        ("let v = body.x ? 1 : 2", "LANG050"),
        ("let v = body.x > 1 ? 1 : body.t", "LANG050"),
        ("let v = body.x[0]", "LANG051"),
        ("let v = body.l[true]", "LANG050"),
        ("emit nothing { }", "LANG110"),
        ("let v = body.t\n v = 5 % 2\n w = 3", "LANG030"),
    ],
)
def test_refused_statements(statements: str, code: str) -> None:
    assert [each.code for each in found(in_post(statements)) if each.severity == "error"] == [code]


def test_endpoint_without_a_word_about_auth_wants_a_user_when_there_can_be_one() -> None:
    program = checked("endpoint GET /as { returns: paginated(A) }")
    assert program.endpoints[0].auth == "required"
    text = "entity A { id: uuid, primary, auto }\nendpoint GET /as { returns: paginated(A) }"
    alone, _ = check_text("a.cai", text)
    assert alone is not None
    assert alone.endpoints[0].auth == "public"


def test_auth_required_without_config_is_an_error() -> None:
    text = "entity A { id: uuid, primary, auto }\nendpoint GET /as { auth: required\n returns: paginated(A) }"
    assert [each.code for each in check_text("a.cai", text)[1]] == ["LANG083"]


def test_an_operation_wants_the_arguments_of_its_path() -> None:
    text = """
    integration I { type: rest, base_url: "http://x"
      operation get { method: GET, path: /things/{id} } }
    workflow v { steps { one { call: I.get { } } } }"""
    assert [each.code for each in found(text)] == ["LANG057"]
    program = checked(text.replace("I.get { }", "I.get { id: 5 }"))
    assert program.integrations[0].operations[0].path == "/things/{id}"


def test_strings_decode_escapes_and_keep_escaped_braces() -> None:
    program = checked(in_post(r'let v = "a\n\"\u00e9\" \{x\}"'))
    does = program.endpoints[0].does
    assert isinstance(does, p.Action)
    assert does.body[0].value.value == 'a\n"é" {x}'  # type: ignore[union-attr]


def test_durations_are_seconds_and_texts_may_span_lines() -> None:
    text = '''workflow v { description: """two
lines""" timeout: 1h30m
 steps { one { do { } timeout: 1m30s } } }'''
    program = checked(text)
    assert program.workflows[1].description == "two\nlines"
    assert program.workflows[1].timeout == 5400.0
    assert program.workflows[1].steps[0].timeout == 90.0


def test_the_tree_has_exact_places_and_keeps_comments() -> None:
    text = "# first\n\nentity A {\n  id: uuid, primary // key\n}\n"
    file, problems = parse_text("a.cai", text)
    assert problems == []
    tree = plain(file)
    assert tree["comments"] == [
        {"text": "# first", "line": 1, "column": 1},
        {"text": "// key", "line": 4, "column": 21},
    ]
    declaration = tree["declarations"][0]  # type: ignore[index]
    assert declaration["span"] == [3, 1, 5, 2]  # type: ignore[index]
    member = declaration["block"]["members"][0]  # type: ignore[index]
    assert member["span"] == [4, 3, 4, 20]
    assert member["value"]["kind"] == "FieldNode"
    assert member["value"]["type"]["span"] == [4, 7, 4, 11]
    assert member["value"]["modifiers"][0]["span"] == [4, 13, 4, 20]


def test_a_declaration_keeps_its_tree_when_lines_are_added_above() -> None:
    """What an editor needs: the part that did not change is equal, only its line moved."""
    text = "entity A {\n  id: uuid, primary, auto\n}\n"
    before = parse_text("a.cai", text)[0].declarations[0]
    after = parse_text("a.cai", "\n# new\n" + text)[0].declarations[0]
    assert (before.block, before.line, after.line) == (after.block, 1, 3)
