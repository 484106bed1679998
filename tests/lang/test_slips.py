"""One slip of the pen: one diagnostic at its place, with an edit after which nothing is wrong."""

import pytest
from tests.lang.test_mistakes import applied

from backstay.lang.api import check_text

EVENT = "event order_placed { payload { a: int } }\n"
STEPS = "\n  steps { a { check: event.a > 0 } } }"

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
