"""Every construct that the language promises, one small program each: it parses, it checks, and its
canonical spelling is the same program."""

import openapi_spec_validator
import pytest
from tests.lang.format.meant import respelled

from backstay.app.unsupported import problems
from backstay.lang import program as p
from backstay.lang.api import check_text
from backstay.lang.openapi import document

A = """
entity A {
  id: uuid, primary, auto
  n: int
  price: decimal(10, 2), default(0)
  bs: list(B)
}
entity B {
  id: uuid, primary, auto
  a: ref(A), required
  n: int
}
"""
EVENT = "event order_placed { payload { total: int, note: string, optional } }\n"
OUTSIDE = """
integration P {
  base_url: "http://p"
  operation charge { method: POST, path: "/charge" }
  operation refund { method: POST, path: "/refund" }
}
"""

SENTENCE = {
    "modifiers": """entity E {
      id: uuid, primary, auto
      name: string, required, unique, searchable, min(1), max(5),
      note: text, optional
      kind: enum(a, b), default(a)
      price: decimal(10, 2), default(1.50)
      at: timestamp, default(now()), auto_update
      tags: list(string)
      index: [name, kind] unique,
      soft_delete
    }""",
    "types": """entity E {
      id: uuid, primary, auto, a: integer, b: boolean, c: date, d: time, e: json, f: duration, g: float
    }""",
    "relations": A,
    "endpoint with parameters": A
    + """endpoint GET /as/{id} { path { id: uuid }, headers { x_trace: string, optional }, returns: A }""",
    "endpoint with a query": A
    + """endpoint GET /as {
      query { least: int, default(1), min(1), max(9) }
      returns: paginated(A)
      where: n >= query.least
      filter: [n, price], sort: [n],
      page_size: 5, page_limit: 50
      cache: 5m
    }""",
    "endpoint with a body": A
    + """endpoint POST /as {
      body { n: int, required, bs: list({ n: int }) }
      validate { body.n > 0 else "too small", len(body.bs) < 9 }
      do { return create_it(body.n) }
      error 404: "no"
      error 409: "taken"
      on_success: emit(order_placed)
      rate_limit: 10 per 1s
      timeout: 2s
      status: 201
    }
    function create_it(n: int) -> int { return n }
    """
    + EVENT,
    "returns a list": A + "endpoint GET /as { returns: list(A), filter: [n] }",
    "returns a list with its relations": A
    + "endpoint GET /as { returns: paginated(A), include: [bs] }\n"
    + "endpoint GET /bs { returns: list(B), include: [a] }",
    "returns values": 'endpoint GET /a { returns: list(string), do { return ["a"] } }\n'
    'endpoint GET /b { returns: list({ c: string }), do { return [{ c: "c" }] } }\n'
    "endpoint GET /c { returns: { a: int, b: list({ c: string }) }, do { return { a: 1, b: [] } } }",
    "a change by the method alone": A
    + """endpoint POST /as { body { n: int }, returns: A, include: [bs], status: 201 }
    endpoint PUT /as/{id} { path { id: uuid }, body { n: int, required }, returns: A }
    endpoint PATCH /as/{id} { path { id: uuid }, body { n: int, price: decimal(10, 2) }, returns: A }
    endpoint DELETE /as/{id} { path { id: uuid }, returns: void }""",
    "returns nothing": "endpoint GET /a { returns: void }",
    "roles": 'config { auth: jwt { secret: env("S"), issuer: env("I", "me") } }\n'
    "endpoint GET /a { auth: required, roles: [admin, staff], returns: void }\n"
    "endpoint GET /b { auth: none, returns: void }",
    "row rules": """entity E {
      id: uuid, primary, auto
      owner: string
      access { read: owner == user.id or user.has("x"), write: not (owner in ["a", "b"]) }
    }""",
    "workflow with a trigger": EVENT
    + """workflow a { trigger: order_placed, steps { s { check: event.total > 0 } } }
    workflow b { trigger: schedule every 1h, steps { s { check: true } } }
    workflow c { trigger: schedule "0 1 * * *", steps { s { check: true } } }
    workflow d { trigger: manual, steps { s { check: true } } }""",
    "steps": OUTSIDE
    + EVENT
    + A
    + """workflow w {
      input { k: int, required, ns: list(int) }
      timeout: 1h
      steps {
        parallel {
          x { task: LABEL { n: k } }
          y { send: email("a@b.c") { template: "t", subject: "s" }, when: k > 5 }
        }
        each { for_each: ns, as: one, do { create A { n: one } } }
        call { call: P.charge { n: k }, timeout: 5s, compensate { call: P.refund { n: k } } }
        tell { emit: order_placed { total: k }, retry: 3 times with linear_backoff(1s), on_fail: rollback }
        look { query: select A where n = 1 limit 5
          as: rows }
        undo { action: update(A), compensate: cancel_it("x") }
      }
      on_complete: emit(order_placed)
      on_fail { delete A where price == 1 }
    }""",
    "jobs": A
    + """job a { schedule: "0 2 * * *", timezone: "Europe/Berlin", queue: low, do { delete A where n == 1 } }
    job b { schedule: every 1h, retry: 2 times, timeout: 5m, action: log_info("x"), on_fail: rollback }
    job c { schedule: every 1d, steps { s { action: generate_report(1), template: "t", format: pdf, on_empty: skip } } }""",
    "integrations": """integration P {
      type: rest
      base_url: env("URL")
      auth: bearer(env("TOKEN"))
      headers { "X-A": "b" }
      timeout: 3s
      retry: 3 times with exponential_backoff(200ms, 2s)
      circuit_breaker { threshold: 5 failures in 1m, reset_after: 30s, }
      rate_limit: 100 per minute
      fallback: reject("down")
      idempotency: header("Idempotency-Key")
      operation charge {
        method: POST
        path: /charges/{id}
        query { a: string }
        body { x: int, y: { z: string } }
        returns: list({ a: int })
        cache: 5m
        fallback { return { a: 1 } }
      }
    }
    workflow w { steps { s { call: P.charge { id: 1 } } } }""",
    "graphql": '''integration G {
      type: graphql
      base_url: "http://g"
      operation user {
        query: """query($id: ID!) { user(id: $id) { name } }"""
        variables { id: string }
        returns: { name: string }
      }
      operation add { mutation: """mutation { add }""" }
    }
    workflow w { steps { a { call: G.user { id: 1 } }, b { call: G.add } } }''',
    "events": """event order_placed {
      payload { id: uuid, note: string, optional }
      publish_to: [kafka("t"), webhook("n"), slack("#c"), email(env("X"))]
      trigger: when id != null
    }
    job j { schedule: every 1h, do { emit order_placed { id: uuid() } } }""",
    "functions": """function f(a: decimal(10, 2), b: list(int), c: { x: int }) -> decimal(10, 2) {
      let y = a * 2
      if y > 5 { return y }
      return a
    }
    job j { schedule: every 1h, do { let z = f(1.5, [1, 2], { x: 1 }) } }""",
    "expressions": """job j { schedule: every 1h, do {
      let a = 1 + 2 * 3 - 4 / 2 % 3
      let b = a >= 1 and not (a == 2 or a != 3) and a in [1, 2,]
      let c = b ? "x" : "y"
      let d = null ?? c
      let later = now() + 2h30m
      let e = { f: { g: a }, }
      let h = e.f.g
      let t = "a\\t\\"{h}\\" \\u00e9"
    } }""",
    "env": 'integration Q { base_url: env(URL, "http://x"), auth: bearer(env("T"))\n'
    " operation go { method: GET, path: /go } }\nworkflow v { steps { s { call: Q.go } } }",
    "nested create": A
    + """endpoint POST /as { body { ns: list(int) }, do {
      let a = create A { n: len(body.ns), bs: [n in body.ns: { n: n }] }
      return a
    } }""",
    "conditional update": A
    + """endpoint POST /as/{id} { path { id: uuid }, do {
      update A where id == path.id and n > 0 { n: n - 1 } else fail 409 "none of {path.id} is left"
      return path.id
    } }""",
    "comments": "# one\n// two\n/* three\n   four */\nentity E { id: uuid, primary, auto } # five",
    "settings": """config {
      name: "x", version: "1.0.0"
      database: postgres { pool_size: 20, timeout: 30s, connection: env("DB") }
      cache: redis { ttl: 5m, prefix: "x:" }
      cors { origins: ["*"], methods: [GET, POST] }
      scheduler { queues { critical: 6, default: 3 }, default_retry: 3 times, default_timeout: 5m }
    }""",
    "members in any order": 'job j { do { }, timezone: "UTC", schedule: every 1h, description: "x", }',
    "a variable called job": "var job = 1\njob = job + 1\nprint(job)",
    "scripts": """var a = [1, 2, 3,]
    function double(x) { return x * 2 }
    for each in a { if each > 1 { print(double(each)) } else { a = [each] } }
    print(len(a))
    exec { echo done }""",
}


@pytest.mark.parametrize("text", SENTENCE.values(), ids=list(SENTENCE))
def test_each_construct_parses_and_checks(text: str) -> None:
    program, found = check_text("a.cai", text)
    assert program is not None, found
    # A program of one construct uses little of what it declares.
    assert [each for each in found if each.code != "LANG112"] == []
    respelled(text)
    openapi_spec_validator.OpenAPIV31SpecValidator(document(program)).validate()


def test_a_list_answers_its_rows_and_what_they_include() -> None:
    program, _ = check_text("a.cai", SENTENCE["returns a list with its relations"])
    assert program is not None
    paged, plain = (endpoint.does for endpoint in program.endpoints)
    assert paged == p.ListOf("A", include=("bs",))
    assert plain == p.ListOf("B", include=("a",), paged=False)
    assert problems(program) == []


@pytest.mark.parametrize(
    ("member", "code", "word"),
    [
        ("returns: list(C)", "LANG032", "C)"),
        ("returns: paginated(A), include: [cs]", "LANG033", "cs"),
        ("returns: list({ c: strng })", "LANG039", "strng"),
        ("returns: paginated", "LANG020", "paginated"),
        ("returns: list(string), filter: [n]", "LANG084", "filter"),
    ],
)
def test_what_a_list_cannot_answer(member: str, code: str, word: str) -> None:
    text = f"endpoint GET /as {{ {member} }}{A}"
    (problem,) = check_text("a.cai", text)[1]
    assert (problem.code, problem.span.column) == (code, text.index(word) + 1)


@pytest.mark.parametrize(
    ("method", "returns"),
    [("POST", "A"), ("PUT", "A"), ("PATCH", "A"), ("DELETE", "A"), ("POST", "paginated(A)")],
)
def test_a_change_that_nobody_makes_is_a_mistake(method: str, returns: str) -> None:
    """`PUT … returns: A` would read the row, answer 200 and change nothing."""
    text = f"{A}endpoint {method} /as/{{id}} {{ path {{ id: uuid }}\n returns: {returns} }}"
    (problem,) = check_text("a.cai", text)[1]
    assert problem.code == "LANG084"
    assert problem.message == f"a {method} endpoint without do changes nothing"
    assert "write do {" in problem.hint


@pytest.mark.parametrize(
    ("method", "path", "members", "code", "word"),
    [
        ("POST", "/as", "body { m: int }\n returns: A", "LANG033", "m:"),
        ("POST", "/as", "body { n: string }\n returns: A", "LANG050", "string"),
        ("POST", "/as", "body { bs: list({ n: int }) }\n returns: A", "LANG058", "bs:"),
        ("POST", "/bs", "body { n: int }\n returns: B", "LANG057", "{ n"),
        ("POST", "/bs", "body { a: ref(A) }\n returns: B", "LANG084", "a:"),
        ("PUT", "/as/{id}", "path { id: uuid }\n body { id: uuid }\n returns: A", "LANG058", "id: uuid }\n returns"),
        ("PATCH", "/as/{id}", "path { id: int }\n body { n: int }\n returns: A", "LANG050", "int }\n body"),
        ("DELETE", "/as/{id}", "path { id: int }\n returns: void", "LANG050", "int }\n returns"),
        ("DELETE", "/cs/{id}", "path { id: uuid }\n returns: void", "LANG084", "returns"),
    ],
)  # fmt: skip
def test_a_change_by_the_method_alone_fits_its_entity(
    method: str, path: str, members: str, code: str, word: str
) -> None:
    text = f"endpoint {method} {path} {{\n {members} }}{A}"
    (problem,) = check_text("a.cai", text)[1]
    place = text.index(word)
    line, column = text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place)
    assert (problem.code, problem.span.line, problem.span.column) == (code, line, column)


def test_a_path_with_colons_finds_a_row_by_its_key() -> None:
    program, found = check_text("a.cai", f'endpoint GET "/as/:id" {{ returns: A }}{A}')
    assert program is None
    assert [each.code for each in found] == ["LANG050"]
