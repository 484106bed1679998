"""What nothing uses: one warning each, at its place, and none for what is used in any way."""

import pytest

from backstay.lang.api import check_text

ORDER = "entity Order { id: uuid, primary, auto\n  total: int\n  note: string\n}\n"
CREATE = "do { create Order { total: 1 } }"


def said(text: str) -> list[str]:
    found = check_text("a.cai", text)[1]
    assert {each.code for each in found} <= {"LANG112"}, found
    return [each.message for each in found]


@pytest.mark.parametrize(
    ("text", "unused"),
    [
        ("endpoint POST /a { do { let x = 1 create Order { total: 1 } } }", ["variable 'x'"]),
        ("endpoint POST /a { do { let x = 1 create Order { total: x } } }", []),
        ("endpoint POST /a { do { let _x = 1 create Order { total: 1 } } }", []),
        ("endpoint POST /a { do { let o = create Order { total: 1 } } }", ["variable 'o'"]),
        ("endpoint POST /a { do { let o = create Order { total: 1 } return o } }", []),
        (
            f"endpoint POST /a {{ body {{ n: int, m: int }} {CREATE} }}",
            ["body field 'n'", "body field 'm'"],
        ),
        ("endpoint POST /a { body { n: int } do { create Order { total: body.n } } }", []),
        (
            "endpoint POST /a { body { n: int } do { let b = body create Order { total: b.n } } }",
            [],
        ),
        (
            "endpoint POST /a { body { n: int } validate { body.n > 1 } do { create Order { total: 1 } } }",
            [],
        ),
        (f"endpoint POST /a {{ query {{ q: int }} {CREATE} }}", ["query parameter 'q'"]),
        (f"endpoint POST /a {{ headers {{ h: string }} {CREATE} }}", ["header 'h'"]),
        (f"endpoint POST /a/{{k}} {{ path {{ k: uuid }} {CREATE} }}", ["path parameter 'k'"]),
        ("endpoint GET /a/{k} { path { k: uuid } returns: Order }", []),
        ('entity Tag { id: string, primary }\nendpoint GET "/a/:k" { returns: Tag }', []),
        (
            "endpoint GET /a/{k} { path { k: string } returns: paginated(Order) where: note == path.k }",
            [],
        ),
        (
            "endpoint GET /a/{k} { path { k: string } returns: paginated(Order) }",
            ["path parameter 'k'"],
        ),
        ("endpoint GET /a { query { page: int } returns: paginated(Order) }", []),
        ("function f(a: int, b: int) -> int { return a }\nprint(f(1, 2))", ["parameter 'b'"]),
        ("function f(a: int, _b: int) -> int { return a }\nprint(f(1, 2))", []),
        ("function f(a: int) -> int { return a }", ["function 'f'"]),
        ("var x = 1\nvar y = 2\nprint(y)", ["variable 'x'"]),
        ("var x = 1\nx = 2", ["variable 'x'"]),
        ("workflow w { steps { a { query: count Order\n as: n } } }", ["variable 'n'"]),
        (
            "workflow w { steps { a { query: count Order\n as: n } b { when: n > 1 action: log_info(1) } } }",
            [],
        ),
        (
            "workflow w { input { low: int } steps { a { query: select from Order where total > @low\n } } }",
            [],
        ),
        (
            'role admin { permissions: ["a:b"] }\nendpoint GET /a { returns: paginated(Order) }',
            ["role 'admin'"],
        ),
        (
            (
                'config { auth: jwt { secret: env("S") } }\nrole admin { permissions: ["a:b"] }\n'
                "endpoint GET /a { auth: required roles: [admin] returns: paginated(Order) }"
            ),
            [],
        ),
        (
            "entity Lost { id: uuid, primary, auto }\nendpoint GET /a { returns: paginated(Order) }",
            ["entity 'Lost'"],
        ),
        (
            "entity _Lost { id: uuid, primary, auto }\nendpoint GET /a { returns: paginated(Order) }",
            [],
        ),
        (
            (
                "entity Part { id: uuid, primary, auto\n order: ref(Order) }\n"
                "endpoint GET /a { returns: paginated(Part) }"
            ),
            [],
        ),
    ],
)
def test_what_is_never_used(text: str, unused: list[str]) -> None:
    program = ORDER + text
    if "Order" not in text:
        program = text
    assert said(program) == [f"{each} is never used" for each in unused]


@pytest.mark.parametrize(
    ("asked", "lost"),
    [
        ('"papers:read"', ["reader2"]),
        ('"papers:delete"', ["reader", "reader2"]),
        ('"papers:read:all"', ["editor", "reader", "reader2"]),
        ("reader2", ["editor", "reader"]),
    ],
)
def test_a_role_is_used_by_what_it_permits(asked: str, lost: list[str]) -> None:
    text = f"""config {{ auth: jwt {{ secret: env("S") }} }}
role editor {{ permissions: ["papers:*"] }}
role reader {{ permissions: ["papers:read"] }}
role reader2 {{ permissions: ["books:read"] }}
{ORDER}endpoint GET /a {{ auth: required roles: [{asked}] returns: paginated(Order) }}"""
    assert said(text) == [f"role '{each}' is never used" for each in lost]


def test_an_entity_alone_is_the_beginning_of_a_program() -> None:
    assert said(ORDER) == []


def test_the_fix_renames_what_nobody_else_sees() -> None:
    text = f"{ORDER}endpoint POST /a {{ body {{ n: int }} do {{ let x = 1 create Order {{ total: 1 }} }} }}"
    of_body, of_let = check_text("a.cai", text)[1]
    assert of_body.edit is None
    assert of_let.edit is not None
    assert of_let.edit.text == "_x"


def test_while_there_are_errors_nothing_is_called_unused() -> None:
    text = f"{ORDER}endpoint POST /a {{ do {{ let order = 1 create Order {{ total: ordr }} }} }}"
    assert [each.code for each in check_text("a.cai", text)[1]] == ["LANG030"]
