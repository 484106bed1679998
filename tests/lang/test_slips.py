"""One slip of the pen: one diagnostic at its place, with an edit after which nothing is wrong."""

import pytest
from tests.lang.test_mistakes import applied

from backstay.lang import program as p
from backstay.lang.api import check_text
from backstay.lang.query.compile import compile as compile_query

EVENT = "event order_placed { payload { a: int } }\n"
STEPS = "\n  steps { a { check: event.a > 0 } } }"
ITEM = "entity Item { id: uuid, primary, auto\n n: int }\n"
POST = "endpoint POST /items { auth: public, body { n: int }, do {\n"
PAYS = "integration Pay { operation charge { method: POST, path: /c }\n operation refund { method: POST, path: /r }\n "
STEP = "\nworkflow w { steps { s { "

SLIPS = [
    # `⟦` stands where the diagnostic begins; the last is what is to be written there.
    ("function f(a ⟦= int) { return a }\nvar x = f(1)", "LANG010", ":"),
    ("function f(a: int, b ⟦= int) -> int { return a }\nvar x = f(1, 2)", "LANG010", ":"),
    ("function f(a ⟦int) { return a }\nvar x = f(1)", "LANG010", ":"),
    ("function f(a: int)⟦: int { return a }\nvar x = f(1)", "LANG010", " ->"),
    ("job j { schedule: ⟦evry 1h, do { } }", "LANG010", "every"),
    ("job j { schedule: ⟦1h, do { } }", "LANG010", " every"),
    (
        ("entity A { id: uuid, primary, auto\n n: int\n access⟦: { read: true } }\n"
        "job j { schedule: every 1h, do { delete A where n == 1 } }"),
        "LANG010",
        "",
    ),
    (
        ('integration I { base_url: env("URL")\n circuit_breaker⟦: { threshold: 3 }\n'
        " operation o { method: GET, path: /x } }\n"
        "workflow w { steps { s { call: I.o { } } } }"),
        "LANG010",
        "",
    ),
    ("workflow w { trigger: manual, steps⟦: { s { check: true } } }", "LANG010", ""),
    ("workflow w { trigger: schedule ⟦evey 1h\n steps { a { check: true } } }", "LANG010", "every"),
    ("workflow w { trigger: ⟦shedule every 1h\n steps { a { check: true } } }", "LANG010", "schedule"),
    ('workflow w { trigger ⟦schdule "0 1 * * *" steps { a { check: true } } }', "LANG010", "schedule"),
    ('workflow w { trigger ⟦evnt "a.b" steps { a { check: true } } }', "LANG010", "event"),
    (f"{EVENT}workflow w {{ trigger: ⟦order_plced{STEPS}", "LANG110", "order_placed"),
    (f"{EVENT}job j {{ schedule: every 1h, do {{ emit ⟦order_paced {{ a: 1 }} }} }}", "LANG110", "order_placed"),
    (f"{EVENT}workflow w {{ trigger: order_placed{STEPS}\non ⟦order_placd do workflow w", "LANG110", "order_placed"),
    ("config { database: postgres { ⟦pool_sise: 5 } }", "LANG015", "pool_size"),
    ("config { database: ⟦postgress { pool_size: 5 } }", "LANG041", "postgres"),
    ("config { scheduler { ⟦concurency: 5 } }", "LANG015", "concurrency"),
    ("config { scheduler { queues { ⟦critcal: 5 } } }", "LANG015", "critical"),
    ("config { cache: redis { ⟦tll: 5m } }", "LANG015", "ttl"),
    ('config { cors { ⟦orgins: ["*"] } }', "LANG015", "origins"),
    ('var x = "⟦\\d+"', "LANG004", "\\\\d"),
    ('var x = """a\nb⟦\\q"""', "LANG004", "\\\\q"),
    (f"{ITEM}endpoint GET /items⟦: {{ auth: public, returns: paginated(Item) }}", "LANG010", ""),
    (f"{ITEM}workflow w {{ steps {{ s {{ query: ⟦selct from Item\n }} }} }}", "LANG142", "select"),
    (f"{ITEM}workflow w {{ steps {{ s {{ query: ⟦cuont(Item)\n }} }} }}", "LANG142", "count"),
    (f"{ITEM}workflow w {{ steps {{ s {{ query: select n frm Item\n }} }} }}".replace("frm", "⟦frm"), "LANG142", "from"),
    (f"{ITEM}workflow w {{ steps {{ s {{ query: count Item ⟦wher n > 1\n }} }} }}", "LANG142", "where"),
    (f"{ITEM}{POST}  ⟦return create Item {{ n: body.n }}\n}} }}", "LANG093",
     "let row = create Item { n: body.n }\n  return row"),
    (f'{PAYS}base_url: ⟦"api.example.com/v1" }}', "LANG102", '"https://api.example.com/v1"'),
    (f'{PAYS}base_url: ⟦"localhost:8080" }}', "LANG102", '"http://localhost:8080"'),
    (f'{PAYS}base_url: ⟦"htps://example.com" }}', "LANG102", '"https://example.com"'),
    (f'{PAYS}base_url: "http://a" }}{STEP}call: Pay.charge {{ }}, compensate: Pay.⟦refnd }} }} }}', "LANG036", "refund"),
    (f'{PAYS}base_url: "http://a" }}{STEP}call: Pay.charge {{ }}, compensate: ⟦Pya.refund }} }} }}', "LANG035", "Pay"),
]  # fmt: skip


@pytest.mark.parametrize(("marked", "code", "fix"), SLIPS, ids=lambda text: text[:40])
def test_one_slip_is_one_diagnostic_with_its_fix(marked: str, code: str, fix: str) -> None:
    before, after = marked.split("⟦")
    text = before + after
    (problem,) = check_text("a.cai", text)[1]
    place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
    assert (problem.code, problem.span.line, problem.span.column) == (code, *place)
    assert problem.edit is not None
    assert problem.edit.text == fix
    program, found = check_text("a.cai", applied(text, problem.edit))
    assert program is not None, found


@pytest.mark.parametrize(
    "text",
    [
        'config { database: postgres { statement_cache: 5, host: "h", port: 1 } }',
        "config { cache: memcached { nodes: 3 } }",
        "config { scheduler { queues { urgent: 9, low: 1 } } }",
    ],
)  # fmt: skip
def test_a_setting_of_ones_own_is_no_slip(text: str) -> None:
    assert check_text("a.cai", text)[1] == []


def test_a_workflow_of_an_event_from_elsewhere_sees_whatever_it_brings() -> None:
    text = 'workflow w { trigger event "shop.order" steps { a { check: event.total > 0 } } }'
    assert check_text("a.cai", text)[1] == []


def test_a_filter_is_no_misspelt_statement() -> None:
    """`selected` is near to `select`, and a field that is true all the same."""
    item = "entity Item { id: uuid, primary, auto\n selected: bool\n count1: int }\n"
    made = compile_query(check_text("a.cai", item)[0], "selected count1:3", "sqlite", "Item")
    assert '"selected"' in made.sql


def test_the_fallback_of_a_base_url_is_an_address_too() -> None:
    (problem,) = check_text("a.cai", f'{PAYS}base_url: env("URL", "ftp://a") }}')[1]
    assert problem.message == "the base_url 'ftp://a' is no address of http or https"
    assert problem.edit is None


def test_the_fields_of_an_event_are_no_parameters() -> None:
    (problem,) = check_text("a.cai", "event order_placed { payload { a: int, a: int } }")[1]
    assert problem.message == "duplicate field 'a' in event 'order_placed'"


def test_optional_may_bring_the_default() -> None:
    text = "entity A { id: uuid, primary, auto\n n: int, optional(3)\n s: string, optional }"
    program, found = check_text("a.cai", text)
    assert program is not None, found
    values = {each.name: each.default for each in program.entity("A").fields}
    assert values["n"] == p.Constant(3, p.ScalarType("int"))
    assert values["s"] is None
    (twice,) = check_text("a.cai", text.replace("optional(3)", "optional(3), default(4)"))[1]
    assert twice.message == "field 'n' has two defaults"


@pytest.mark.parametrize(("condition", "never"), [
    (" and ".join(f"n > {each}" for each in range(60)), False),
    (" and ".join(f"n != {each}" for each in range(60)) + " and n == 7", True),
    ("n == 7 and " + " and ".join(f"n != {each}" for each in range(8, 60)), False),
    ("n >= 3 and n >= 9 and n >= 5 and n < 7", True),
    ("n >= 3 and n < 7 and n < 9 and n >= 7", True),
])  # fmt: skip
def test_the_strictest_of_many_bounds_counts(condition: str, never: bool) -> None:
    text = f"workflow w {{ input {{ n: int }} steps {{ a {{ when: {condition}\n action: log_info(1) }} }} }}"
    codes = [each.code for each in check_text("a.cai", text)[1]]
    assert codes == ["LANG115"] * never
