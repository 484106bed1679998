"""What the original accepts is accepted, and what cannot mean the same is refused with a remedy."""

import pytest

from backstay.app.unsupported import problems
from backstay.lang import program as p
from backstay.lang.api import check_text
from backstay.lang.parser import grammar
from backstay.lang.parser.statements import STATEMENTS

ACCEPTED = {
    "a version is a number": 'config { version: 1.5 name: "x" debug: true port: 8080 }',
    "settings of any name": 'config { cors: true database: "pg" tags: ["a", "b"] key: env("K") }',
    "modifiers of any name": (
        "database postgres { model A { id: uuid, primary, fancy, belongs_to(b) n: int } }"
    ),
    "defaults that are names": (
        "database postgres { model A { id: uuid, primary s: string, default(admin) } }"
    ),
    "documents in documents": (
        "database mongodb { collection A { _id: objectid, primary"
        " e: embedded { f: embedded { n: int32 } } m: mixed } }"
    ),
    "middleware of one's own": 'middleware m { type custom config { n: 1 y: ["a"] } }',
    "types of a schema are words": "event a_b { schema { a array d decimal o object t timestamp } }",
    "handlers of what is elsewhere": 'on "user.created" do workflow "welcome" async',
    "integrations that are elsewhere": 'on "user.created" do integration "crm"',
    "events that are elsewhere": 'on "user.created" do emit "user_seen"',
    "any action in a step": (
        'endpoint GET "/x" {\n do { made = upsert(users, request, 3) where "a" with { on: "x" } }\n}'
    ),
    "parameters without types": "function f(a, config) { var b = a }\nvar c = f(1, 2)",
    "soft words as variables": "var event = 1\nvar model = [event]\nfor index in model { event = index }",
    "a command with braces": 'exec { echo "}" }',
    "numbers that end in a point": "var x = 3.",
}


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=list(ACCEPTED))
def test_what_the_original_accepts_is_accepted(text: str) -> None:
    program, found = check_text("a.cai", text)
    assert program is not None, found
    assert {each.severity for each in found} <= {"warning"}


RESERVED = {"if", "else", "for", "in", "function", "true", "false", "var"}
"""By the first version. `print` and `len` are its functions and stay what they are."""
OF_EXPRESSIONS = ("null", "not", "and", "or")
IN_VALUES = """
postgres mongodb text geospatial embedded unique required optional primary default jwt oauth2
apikey basic bearer GET POST PUT PATCH DELETE async do from body query path header status where
with when as rest graphql grpc assert given run stub expect advance parallel manual every user env
now sum
"""
SOFT = {*STATEMENTS, *grammar.DECLARATIONS, *(m for b in grammar.BLOCKS.values() for m in b)}
SOFT |= set(IN_VALUES.split())
SOFT -= RESERVED

SHAPES = {
    "assigned": "var {w} = 1\n{w} = 2\nvar z = {w}\nprint({w})\nprint([{w}, {w}])\n{w} = z",
    "in one line": "var {w} = 1 {w} = 2 var b = {w} {w} = b",
    "after an assignment": "var {w} = 0\nvar a = 1\na = 2\n{w} = 3\nprint(a)\n{w} = 4",
    "a loop's": "for {w} in [1] {{ print({w})\n {w} = 2\n}}",
    "a parameter": "function f({w}, b) {{ var c = {w}\n {w} = b\n return c }}\nprint(f(1, 2))",
    "in a function": "function f() {{\n var {w} = 1\n {w} = 2\n}}\nf()",
    "a condition": "var {w} = true\nif {w} == true {{ {w} = false }} else {{\n  {w} = true\n}}",
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
@pytest.mark.parametrize("word", sorted(SOFT))
def test_every_other_word_may_be_a_variable(word: str, shape: str) -> None:
    program, found = check_text("a.cai", shape.format(w=word))
    assert program is not None, found


@pytest.mark.parametrize("word", OF_EXPRESSIONS)
@pytest.mark.parametrize(
    "text",
    [
        "var {w} = 1\n{w} = 2",
        "for {w} in [1] {{ }}",
        "function f({w}) {{ }}",
        "function {w}() {{ }}",
    ],
)
def test_a_word_of_expressions_cannot_be_declared(word: str, text: str) -> None:
    (problem,) = [
        each for each in check_text("a.cai", text.format(w=word))[1] if each.severity == "error"
    ]
    assert (problem.code, problem.span.line) == ("LANG044", 1)
    assert problem.message.startswith(f"'{word}' cannot be declared")


def test_return_and_fail_keep_their_meaning_before_a_value() -> None:
    text = "function f(a) {\n  if a > 1 { return (a) }\n  return (2)\n}\nprint(f(1))"
    program, found = check_text("a.cai", text)
    assert program is not None, found
    assert isinstance(program.functions[0].body[-1], p.Return)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ('workflow "welcome"', "unknown workflow 'welcome'"),
        ('integration "crm.add"', "unknown integration 'crm'"),
        ('emit "user_seen"', "event 'user_seen' is not registered"),
        ('webhook "tower"', "unknown webhook 'tower'"),
    ],
)
def test_a_handler_of_what_is_elsewhere_is_warned_of_and_not_served(
    target: str, message: str
) -> None:
    program, found = check_text("a.cai", f"event user_created {{ }}\non user.created do {target}")
    assert program is not None
    assert [(each.code, each.message) for each in found] == [("LANG117", message)]
    assert "on.elsewhere" in [each.construct for each in problems(program)]


@pytest.mark.parametrize(
    ("text", "code", "fix"),
    [
        ("event user_created { }\non user.creatd do emit user_created", "LANG110", "user_created"),
        (
            'integration crm { base_url: "http://x" }\non x do integration "crn.add"',
            "LANG035",
            "crm",
        ),
    ],
)
def test_a_slip_in_a_handler_is_a_mistake(text: str, code: str, fix: str) -> None:
    (problem,) = [each for each in check_text("a.cai", text)[1] if each.severity == "error"]
    assert problem.code == code
    assert problem.edit is not None
    assert problem.edit.text == fix


NESTED = (
    'config { database_type: "postgres" }',
    "database postgres { model A { id: uuid, primary } }",
    'role a { permissions ["x"] }',
    "event a_b { schema { id uuid } }",
    "middleware m { type logging }",
    'auth main { method jwt jwks_url "https://x" }',
    'on "a.b" do emit "c_d" async',
    'integration i { type rest base_url "https://x" }',
    'webhook w { event "a_b" url "https://x" method POST }',
    "entity A { id: uuid, primary }",
    'endpoint GET "/x" { do { find(x) } }',
    'workflow w { trigger manual steps { a { activity "x" } } }',
    'job j { schedule "0 1 * * *" task "x" }',
)


@pytest.mark.parametrize(
    "around",
    [
        "if true {{ {} }}",
        "if true {{\n  {}\n}} else {{ var y = 1 }}",
        "for i in [1] {{\n  var x = i\n  {}\n  var z = x\n}}",
        "function f(a) {{\n  {}\n}}\nf(1)",
        "job t {{ schedule: every 1h\n do {{\n  {}\n}}\n}}",
    ],
)
@pytest.mark.parametrize("declaration", NESTED, ids=lambda text: text.split()[0])
def test_a_declaration_inside_a_block_is_told_to_move(declaration: str, around: str) -> None:
    _, found = check_text("a.cai", around.format(declaration))
    (problem,) = [each for each in found if each.severity == "error"]
    assert problem.code == "LANG093"
    assert problem.message == f"'{declaration.split(maxsplit=1)[0]}' inside a block"
    assert "move it to the top level" in problem.hint


def test_what_a_misplaced_declaration_would_declare_is_not_missed_elsewhere() -> None:
    text = (
        "if true {\n  @deprecated\n  role admin { permissions [] }\n"
        "  entity A { id: uuid, primary, auto }\n}\n"
        "endpoint GET /a { returns: paginated(A) }"
    )
    _, found = check_text("a.cai", text)
    assert [(each.code, each.span.line) for each in found] == [("LANG093", 2), ("LANG093", 4)]


def test_a_variable_may_be_called_like_a_declaration() -> None:
    text = "if true {\n  var role = 1\n  role = role + 1\n  var job = [role]\n  print(job)\n}"
    assert check_text("a.cai", text)[1] == []


@pytest.mark.parametrize("value", ['"jwt"', "true", "oauth2"])
def test_auth_in_config_is_said_in_its_own_form(value: str) -> None:
    (problem,) = check_text("a.cai", f"config {{ auth: {value} }}")[1]
    assert problem.code == "LANG020"
    assert "write auth: jwt {" in problem.hint
