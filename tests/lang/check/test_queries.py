"""Queries inside a program are held against its entities and variables, at their own places."""

import pytest

from backstay.lang.api import check_text
from backstay.lang.diagnostics import Diagnostic

ENTITIES = """
entity Customer { id: uuid, primary, auto
  name: string, required
}
entity Order { id: uuid, primary, auto
  customer: ref(Customer)
  status: enum(open, paid)
  total: decimal(10, 2)
  lines: list(Line)
}
entity Line { id: uuid, primary, auto
  order: ref(Order)
  sku: string
}
"""


def found(step: str, rest: str = "") -> list[Diagnostic]:
    text = f"""{ENTITIES}
workflow w {{
  input {{ order: ref(Order), min: decimal(10, 2), names: list(string), at: timestamp }}
  steps {{
    {step}
    {rest}
  }}
}}
"""
    return check_text("a.cai", text)[1]


def marked(step: str, found_: list[Diagnostic]) -> list[tuple[str, str, str]]:
    """Kind, message, and the words of the step that are underlined."""
    first = ENTITIES.count("\n") + 5
    lines = {first + at: line for at, line in enumerate(f"    {step}".split("\n"))}
    return [
        (
            each.kind,
            each.message,
            lines[each.span.line][each.span.column - 1 : each.span.end_column - 1],
        )
        for each in found_
    ]


@pytest.mark.parametrize(
    ("query", "kind", "message", "word"),
    [
        ("select from Order where total > ^", "LexerError", "unexpected character '^'", "^"),
        ("select from Order limit x", "ParserError", "expected a whole number, got 'x'", "x"),
        ("select from Ordr", "SemanticError", "unknown entity 'Ordr'", "Ordr"),
        (
            "select from Order where colour = 1",
            "CompilerError",
            "unknown field 'colour' on entity 'Order'",
            "colour",
        ),
        (
            "select from Order where customer.nme = 'x'",
            "CompilerError",
            "unknown field 'nme' on entity 'Customer'",
            "nme",
        ),
        (
            "select from Order where total > 'much'",
            "CompilerError",
            "type mismatch for field 'total': expected decimal(10, 2), got string",
            "'",
        ),
        (
            "select from Order where total > @mni",
            "ScopeError",
            "undefined variable 'mni'",
            "mni",
        ),
        (
            "select from Order where total > @at",
            "TypeError",
            "type mismatch for the parameter '@at': expected decimal(10, 2), got timestamp",
            "at",
        ),
        (
            "select from Order where customer = @order.customer",
            "UnsupportedError",
            "a field of another row as a parameter is not supported in this version",
            "customer",
        ),
        (
            "select from Order where lines.sku in @order.lnes",
            "SemanticError",
            "unknown field 'lnes' on entity 'Order'",
            "lnes",
        ),
    ],
)
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_mistake_is_shown_at_its_place(
    query: str, kind: str, message: str, word: str, quote: str
) -> None:
    step = f"a {{ query: {quote}{query}{quote}\n }}"
    assert marked(step, found(step)) == [(kind, message, word)]


def test_a_query_over_several_lines_keeps_its_places() -> None:
    step = (
        "a { query: select from Order\n      where total > @min // enough\n        and colour = 1 }"
    )
    (one,) = marked(step, found(step))
    assert one[2] == "colour"


def test_a_program_with_a_wrong_query_is_served_and_only_the_step_fails() -> None:
    text = f"{ENTITIES}workflow w {{ steps {{ a {{ query: select from Ordr\n }} }} }}"
    program, found_ = check_text("a.cai", text)
    assert program is not None
    assert [each.severity for each in found_] == ["warning"]


def test_the_name_that_was_meant_is_offered_in_place() -> None:
    step = 'a { query: "select from Ordr" }'
    (one,) = found(step)
    assert one.edit is not None
    assert one.edit.text == "Order"
    assert one.edit.span == one.span


@pytest.mark.parametrize(
    "query",
    [
        "select from Order where total > @min * 1.5 and id = @order.id limit 5",
        "select from Order where customer.name in @names and created.x is null",
        "count Order where lines.sku = 'x' and not status = open",
        "update Order set total = total + @min where id = @order",
        "delete from Line where order = @order.id",
    ],
)
def test_what_is_right_is_left_alone(query: str) -> None:
    said = found(f"a {{ query: {query}\n }}")
    assert [each.message for each in said] == (
        ["unknown field 'created' on entity 'Order'"] if "created" in query else []
    )


def test_later_steps_know_what_a_query_gives() -> None:
    rows = "a { query: select id, total from Order\n as: rows }"
    assert found(rows, "b { for_each: rows as: row action: log_info(row.total) }") == []
    (one,) = found(rows, "b { for_each: rows as: row action: log_info(row.totl) }")
    assert (one.message, one.edit and one.edit.text) == (
        "unknown field 'totl' on the record",
        "total",
    )
    assert found("a { query: count Order\n as: n }", "b { when: n > 3 action: log_info(n) }") == []
    changed = "a { query: delete from Order where id = @order\n as: gone }"
    assert found(changed, "b { when: gone.changed > 0 action: log_info(1) }") == []
    (two,) = found("a { query: count Order\n }", 'b { when: steps.a == "x" action: log_info(1) }')
    assert two.kind == "TypeError"


def test_a_job_is_held_against_the_same_rules() -> None:
    text = ENTITIES + "job j { schedule: every 1h, steps { a { query: select from Ordr } } }"
    assert [each.message for each in check_text("a.cai", text)[1]] == ["unknown entity 'Ordr'"]


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("id = :id and status = 'open'", []),
        ("id = ", ["unexpected end of input"]),
        ("id = :id and total > ^", ["unexpected character '^'"]),
        ("nope = 1", ["unknown field 'nope' on entity 'Order'"]),
    ],
)
def test_a_condition_in_quotes_of_an_old_endpoint(condition: str, says: list[str]) -> None:
    text = f"""{ENTITIES}
@auth("jwt")
endpoint GET "/orders/:id" {{
  response Order status 200
  do {{ order = find(orders, id) where "{condition}" with {{ limit: 1 }} }}
}}
config {{ auth: jwt {{ secret: env("S") }} }}
"""
    assert [each.message for each in check_text("a.cai", text)[1]] == says


def test_while_an_entity_is_broken_nothing_is_said_about_its_queries() -> None:
    text = """entity A { id: uuid, primary
  n: strng
}
workflow w { steps { a { query: select from A where m = 1
 } } }"""
    assert [each.message for each in check_text("a.cai", text)[1]] == ["unknown type 'strng'"]
