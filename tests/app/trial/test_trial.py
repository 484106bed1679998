"""`codeai test` on whole programs: each test has a SQLite database, a clock and stubs of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SHOP = """
config { name: "shop", auth: jwt { secret: env("JWT_SECRET") } }

entity Customer {
  id: uuid, primary, auto
  name: string, required, unique
  orders: list(Order)
}

entity Order {
  id: uuid, primary, auto
  customer: ref(Customer), required
  total: decimal(10, 2), required, min(0)
  status: enum(open, paid, refused, late), default("open")
  placed: timestamp, default(now())
  lines: list(Line)
  access { read: customer == user.id or user.has("clerk"), create: true, update: false }
}

entity Line {
  id: uuid, primary, auto
  order: ref(Order), required
  sku: string, required
  count: int, default(1)
}

entity Note {
  id: uuid, primary, auto
  at: timestamp, default(now())
  text: string, required
}

integration Bank {
  type: rest
  base_url: env("BANK_URL")
  operation charge { method: POST, path: "/charges" }
  operation refund { method: POST, path: "/refunds" }
}

event order_paid { payload { order: ref(Order), at: timestamp } }

endpoint GET /orders/{id} { path { id: uuid }, returns: Order }
endpoint POST /orders {
  body { customer: uuid, required, total: decimal(10, 2), required }
  do {
    let order = create Order { customer: body.customer, total: body.total }
    start pay { order: order.id }
    return order
  }
  status: 201
}

workflow pay {
  input { order: ref(Order), required }
  timeout: 10m
  steps {
    charge {
      call: Bank.charge { reference: order.id, amount: order.total }
      retry: 3 times with fixed_delay(10s)
      compensate { call: Bank.refund { reference: order.id } }
    }
    done { do {
      update Order where id == order.id { status: "paid" }
      emit order_paid { order: order.id, at: now() }
    } }
  }
  on_fail { update Order where id == order.id { status: "refused" } }
}

workflow thank {
  trigger: order_paid
  steps { write { do { create Note { text: "thanks for {order.total}" } } } }
}

job nightly {
  schedule: "0 3 * * *"
  do { update Order where status == "open" and placed < now() - 1d { status: "late" } }
}
"""

PAID = (
    'let c = given Customer { name: "A" }\n'
    "  let o = given Order { customer: c, total: 1 }\n  run pay { order: o.id }"
)


def codeai(text: str, folder: Path, *args: str) -> tuple[int, str]:
    (folder / "app.cai").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "backstay.cli.codeai", "test", "app.cai", *args],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(folder)},
    )
    assert "Traceback" not in done.stderr
    assert [each.name for each in folder.iterdir()] == ["app.cai"], "a test left something behind"
    return done.returncode, done.stdout + done.stderr


def test_what_a_program_does_can_be_told_in_a_test(tmp_path: Path) -> None:
    code, out = codeai(
        SHOP
        + """
test "an order is paid and thanked for" {
  stub Bank.charge returns { id: "c-1" }
  let ada = given Customer { name: "Ada" }
  let answer = call POST /orders { customer: ada.id, total: 12.50 } as { id: "u", roles: ["clerk"] }
  assert answer.status == 201 and answer.body.total == "12.50"
  expect Order where customer == ada { status: "paid", total: 12.5, placed: now() }
  expect Note where text == "thanks for 12.50" { at: now() }
  assert count(Order) == 1 and sum(Order.total) == 12.50 and avg(Order.total where status == "open") == null
  assert len(ada.orders) == 1
}

test "a bank that stays down refuses the order after the third try" {
  let bob = given Customer { name: "Bob" }
  let order = given Order { customer: bob, total: 3, lines: [n in [2, 1]: { sku: "s{n}", count: n }] }
  assert order.customer.name == "Bob" and sum(line in order.lines: line.count) == 3
  stub Bank.charge fails 503
  stub Bank.refund returns { }
  let first = run pay { order: order }
  assert first.status == "running" and first.error == null
  advance 19s
  expect Order where id == order.id { status: "open" }
  advance 1s
  expect Order where id == order.id { status: "refused" }
  assert count(Note) == 0
}

test "what stays open for a day is late, at three in the night" {
  let eve = given Customer { name: "Eve" }
  let order = given Order { customer: eve, total: 1, placed: now() - 22h }
  advance 2h
  expect Order where id == order.id { status: "open" }
  advance 1h
  expect Order where id == order.id { status: "late" }
  advance 60d
  assert now() == parse_timestamp("2026-03-02T03:00:00Z")
}

test "rows can be changed, and a query sees only what its user may" {
  let eve = given Customer { name: "Eve" }
  let order = given Order { customer: eve, total: 1 }
  let mine = call GET /orders/{order.id} as { id: eve.id }
  assert mine.status == 200
  let nobody = call GET /orders/{order.id}
  let other = call GET /orders/{order.id} as { id: "other" }
  assert nobody.status == 401 and other.status == 404
  update Order where id == order.id { total: total + 1 }
  expect Order where id == order.id { total: 2 }
  update Order where total > 5 { total: 0 } else fail "none so dear"
}

test "an event that is emitted starts what listens" {
  let eve = given Customer { name: "Eve" }
  let order = given Order { customer: eve, total: 7 }
  emit order_paid { order: order.id, at: now() }
  expect Note where true { text: "thanks for 7.00" }
  delete Note where true
  assert count(Note) == 0
}
""",
        tmp_path,
    )
    assert out.splitlines()[-1] == "4 passed, 1 failed", out
    assert code == 1
    assert "LANG137: none so dear" in out


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (
            'given Customer { name: "Ada" }\n  expect Customer where name == "Ada" { name: "Bob" }',
            [
                'app.cai:LINE:41: LANG138: Customer.name == "Bob"',
                '  Customer.name is "Ada"',
            ],
        ),
        (
            'expect Customer where name == "Ada" { name: "Ada" }',
            [
                'app.cai:LINE:3: LANG138: expect Customer where name == "Ada"',
                "  count(Customer) is 0",
            ],
        ),
        (
            'given Customer { name: "Ada" }\n  given Customer { name: "Ada" }',
            ["app.cai:LINE:3: LANG133: Customer.name is taken: Ada"],
        ),
        (
            'let a = call POST /orders { total: "x" } as { id: "u" }\n  assert a.status == 201',
            ["app.cai:LINE:3: LANG138: a.status == 201", "  a.status is 422"],
        ),
        (
            PAID,
            ["app.cai:LINE:3: LANG133: Bank.charge was called, and no stub says what it answers"],
        ),
    ],
)
def test_a_failure_says_where_what_was_expected_and_what_is_there(
    body: str, lines: list[str], tmp_path: Path
) -> None:
    text = f'{SHOP}\ntest "it" {{\n  {body}\n}}\n'
    code, out = codeai(text, tmp_path)
    last = len(text.splitlines()) - 1
    shown = [line.removeprefix(" " * 9) for line in out.splitlines()]
    assert code == 1
    for line in lines:
        assert line.replace("LINE", str(last)) in shown, out


def test_an_endless_program_is_told_and_not_waited_for(tmp_path: Path) -> None:
    text = (
        "entity Note { id: uuid, primary, auto, text: string }\n"
        "workflow again { steps { a { do { start again { } } } } }\n"
        'test "it" { run again { } }\n'
    )
    code, out = codeai(text, tmp_path)
    assert code == 1
    assert "there is still something to do" in out


def test_each_test_begins_with_an_empty_database_and_the_first_moment(tmp_path: Path) -> None:
    one = (
        'let n = given Note { text: "x" }\n advance 1h\n'
        ' assert count(Note) == 1 and n.at == parse_timestamp("2026-01-01T00:00:00Z")'
    )
    code, out = codeai(
        f'{SHOP}\ntest "one" {{ {one} }}\ntest "two" {{ {one} }}', tmp_path, "--output", "json"
    )
    assert code == 0
    assert [each["outcome"] for each in json.loads(out)["tests"]] == ["passed", "passed"]


def test_roles_and_functions_are_those_of_the_served_program(tmp_path: Path) -> None:
    code, out = codeai(
        """
        config { name: "notes", auth: jwt { secret: env("JWT_SECRET") } }
        role editor { permissions: [notes_write] }
        function twice(text) { return text + text }
        entity Note {
          id: uuid, primary, auto
          text: string, required, min(2)
          access { create: true, read: true }
        }
        endpoint POST /notes {
          roles: [notes_write]
          body { text: string, required }
          do { let note = create Note { text: twice(body.text) }  return note }
          status: 201
        }
        test "an editor may write" {
          let no = call POST /notes { text: "a" } as { id: "u1" }
          assert no.status == 403
          let yes = call POST /notes { text: "a" } as { id: "u1", roles: ["editor"] }
          assert yes.status == 201 and yes.body.text == "aa" and twice("b") == "bb"
          expect Note where text == twice("a") { text: "aa" }
        }
        """,
        tmp_path,
    )
    assert code == 0, out
    assert "\n1 passed\n" in out
