"""No construct is parsed and then ignored: what the runtime does not run keeps it from serving."""

from pathlib import Path

import pytest

from backstay.app.unsupported import INSTEAD, NAMES, RUNS, problems
from backstay.app.unsupported import refused as refused_constructs
from backstay.core.errors import Fault
from backstay.lang.api import check_text
from backstay.lang.check.fields import NOTED
from backstay.lang.parser.grammar import BLOCKS, DECLARATIONS, DECLARED_AS
from backstay.lang.parser.statements import STATEMENTS
from backstay.up.app_server import read_program

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "tests" / "lang" / "programs"
BASE = """entity A { id: uuid, primary, auto
  n: int }
event a_made { payload { n: int } }
"""


def refused(text: str) -> list[str]:
    program, found = check_text("a.cai", BASE + text)
    assert program is not None, found
    kept = [each for each in problems(program) if each.place.line > 3]
    return [f"{each.place.line}:{each.place.column} {each.construct}" for each in kept]


@pytest.mark.parametrize(
    ("text", "construct"),
    [
        ("exec { ls -la }", "declaration.exec"),
        ("middleware m { type compression }", "middleware.type.compression"),
        ("var x = 1", "declaration.var"),
        ("database mongodb { collection C { x: regex } }", "model.type"),
        ("entity B { id: uuid, primary, auto\n s: text\n index: [s] text }", "index.kind"),
        ('integration I { type: graphql\n base_url: env("U") }', "integration.type.graphql"),
        ('integration I { type: grpc\n base_url: env("U") }', "integration.type.grpc"),
        (
            'integration I { type: rest\n base_url: env("U")\n operation o { query: """{ a }""" } }',
            "operation.graphql",
        ),
        (
            'integration I { type: rest\n base_url: env("U")\n batching { size: 10 } }',
            "integration.batching",
        ),
        ("job j { schedule: every 1h\n queue: reports\n do { } }", "job.queue.other"),
        ('job j { schedule: "0 0 * * *"\n do { email("a@b.c") } }', "statement.action"),
    ],
)
def test_each_is_refused_by_name_and_place(text: str, construct: str) -> None:
    assert construct in [each.split()[1] for each in refused("\n" + text)]


@pytest.mark.parametrize(
    ("where", "construct"),
    [
        ('upper(name) == "X"', "column.upper"),
        ("n > 1 and double(n) == 4", "column.double"),
        ("user.has(name)", "column.user.has"),
        ("len(tags) > 1", "column.len"),
        ("price / 3 > 1", "column.division"),
        ("weight % 2 == 1", "column.rest"),
        ('name == "{name}!"', "column.made"),
        ("tags[0] == name", "column.made"),
        ('len(name) > 1 and abs(n) < 2 and contains(name, "x") and n * 2 > 1', ""),
        ("upper(path.x) == name and starts_with(name, upper(path.x))", ""),
    ],
)
def test_what_a_database_cannot_ask_of_a_column_is_refused_at_its_place(
    where: str, construct: str
) -> None:
    text = f"""entity B {{ id: uuid, primary, auto
 n: int, name: string, tags: list(string), price: decimal(8, 2), weight: float }}
function double(x: int) -> int {{ return x * 2 }}
endpoint GET /b/{{x}} {{ path {{ x: string }} returns: list(B)
where: {where} }}"""
    found = refused(text)
    assert [each.split()[1] for each in found] == ([construct] if construct else [])
    assert all(each.startswith("8:") for each in found)


@pytest.mark.parametrize(
    ("change", "construct"), [("about: n", "column.json"), ("about: about ?? body.j", "")]
)
def test_a_column_does_not_become_json(change: str, construct: str) -> None:
    """SQLite would keep the bare text, and answer what is no JSON."""
    text = f"""entity B {{ id: uuid, primary, auto
 n: int, about: json }}
endpoint POST /b {{ body {{ j: json }} do {{ update B where n == 1 {{ {change} }} }} }}"""
    assert [each.split()[1] for each in refused(text)] == ([construct] if construct else [])


def test_the_problem_says_where_what_and_what_instead() -> None:
    program, _ = check_text("a.cai", "job j { schedule: every 1h\n queue: reports\n do { } }")
    assert program is not None
    (problem,) = problems(program)
    where, _, said = str(problem).partition(": ")
    assert where == "a.cai:2:9"
    said_all = "a queue of its own name for a job is not supported in this version: "
    assert said == f"{said_all}write critical, default or low"


def test_the_example_uses_only_what_runs() -> None:
    file = ROOT / "examples" / "orders" / "app.cai"
    program, _ = check_text("app.cai", file.read_text())
    assert program is not None
    assert problems(program) == []


@pytest.mark.parametrize("name", ["original.cai", "business.cai"])
def test_a_server_refuses_a_program_that_it_would_not_run_whole(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Fault) as refused_by:
        read_program(PROGRAMS / name)
    assert str(refused_by.value).startswith("UP019: ")
    assert "is not supported in this version" in capsys.readouterr().err


def test_what_runs_is_part_of_the_language() -> None:
    """A name in `RUNS` that the grammar does not have would hide a slip of a letter."""
    known = {f"{block}.{name}" for block, slots in BLOCKS.items() for name in slots}
    known |= {f"declaration.{name}" for name in DECLARATIONS} | {f"modifier.{n}" for n in NOTED}
    known |= {f"statement.{name}" for name in STATEMENTS} | set(NAMES)
    assert sorted(RUNS - known) == []
    assert sorted(RUNS & set(INSTEAD)) == []
    assert set(DECLARED_AS.values()) <= set(BLOCKS)


def test_what_is_refused_is_all_that_the_grammar_has_besides() -> None:
    """The page of limits is made from this: nothing of it runs, and each says what to write."""
    listed = refused_constructs()
    assert not {name for name, _, _ in listed} & RUNS
    assert {"integration.batching", "operation.graphql", "config.scheduler"} <= {
        name for name, _, _ in listed
    }
    assert all(what and instead for _, what, instead in listed)
    assert not [name for name, _, instead in listed if instead == "leave it out"]
