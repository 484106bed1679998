"""What a change makes of a column of any type, and whom a condition finds, is the same on both
databases. The expressions are written out: each is one that the database computes."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from tests.app.conftest import Urls
from tests.app.support import Place, PostgresPlace, SqlitePlace

from backstay.app.errors import DECLINED
from backstay.app.plan.actions import ActionPlan
from backstay.app.plan.lists import ListPlan
from backstay.app.plan.writes import Writer
from backstay.app.unsupported import problems
from backstay.core.errors import Fault
from backstay.lang.api import check_text
from backstay.lang.program import Action, ListOf

FIELDS = """s: string, n: int, f: float, d: decimal(10, 2), b: bool, u: uuid, t: timestamp, day: date
  at: time, dur: duration, j: json, tags: list(string), e: enum(a1, b1), r: ref(Other)"""
NAMES = ("id", "s", "n", "f", "d", "b", "u", "t", "day", "at", "dur", "j", "tags", "e", "r")
TEXT = f"""
entity Other {{ id: int, primary
  name: string
  count: int
}}
entity Thing {{ id: int, primary
  {FIELDS}
  sr: string, required, default("q")
  nr: int, required, default(7)
}}
"""
BODY = f"""body {{
  {FIELDS}
  ss: list(string), ns: list(int), ds: list(decimal(10, 2)), us: list(uuid), ts: list(timestamp)
}}"""
CHANGES = """
s: s + "x" | s: s ?? "y" | s: n > 1 ? s : "z" | s: s == null ? "q" : s | s: r.name ?? "none"
s: sr + s | s: e | s: n > 1 ? "{body.s}" : s | n: n + 1 | n: n * n | n: n / 2 | n: n % 3 | n: len(s)
n: abs(n) | n: n ?? 4 | n: b ? n : 0 | n: -n | n: r.count + 1 | n: nr + (n ?? 0) | f: f * 2
f: f / 3 | f: n / f | f: n | f: f + n | d: d * 2 | d: d + n | d: d ?? 1 | d: -d | d: abs(d)
d: d - d | d: n > 1 ? d : 5 | d: n | d: d + body.d | d: d % 3 | b: not b | b: n > 1
b: n > 1 and b | b: s == "a" | b: contains(s, "a") | b: b ?? true | b: e == "a1" | b: r == null
b: d in body.ds | u: u ?? body.u | t: t + 1h | t: t - dur | t: n > 1 ? t : null
day: n > 1 ? day : body.day | at: n > 1 ? at : body.at | dur: dur + 1m | dur: t - t | dur: dur * 2
dur: n > 1 ? dur : 3s | j: j ?? body.j | j: n > 1 ? j : body.j | tags: tags ?? body.tags
tags: n > 1 ? tags : body.tags | tags: n > 1 ? body.tags : tags | j: tags | e: e ?? "a1"
e: n > 1 ? e : "b1" | r: r ?? body.r | r: n > 1 ? r : body.r | r: n > 1 ? r : null
s: body.s ?? s | n: body.n ?? n | f: body.f ?? f | d: body.d ?? d | b: body.b ?? b | u: body.u ?? u
t: body.t ?? t | day: body.day ?? day | at: body.at ?? at | dur: body.dur ?? dur | j: body.j ?? j
tags: body.tags ?? tags | e: body.e ?? e | r: body.r ?? r
"""
CONDITIONS = """
b | not b | n > 1 and b | s == "a" | s != "a" | contains(s, "a") | starts_with(s, body.s) | e == "a1"
e == body.e | e in ["a1"] | t > now() | t < now() + 1h | t - t == 0s | t == body.t | r == null
r == body.r | r.name == "x" | r.count > 1 and r.name != null | j == body.j | j != body.j | j == null
tags == body.tags | tags == null | dur > 1m | dur == body.dur | at < "12:00" | at == body.at
day >= "2026-01-01" | day == body.day | u == body.u | u in body.us | s in body.ss | n in body.ns
d in body.ds | t in body.ts | n == d | f == n | d > n | d == body.d | n / 2 == 1 | f / 2 > 0.2
(s ?? "z") == "z" | (n > 1 ? s : sr) == "q" | n > body.n | n >= nr | s > sr | s < body.s
not (s == "a") | not (n > 1) | n == null or n > 1 | sr + (s ?? "") == "qa" | len(s) > 0
abs(n) == 2 | -n < 0 | n % 2 == 0 | body.n > 1 | body.b | b == body.b | b != body.b | b == true
(r.count ?? 0) < 1 | r.name in body.ss | t + dur > t | n * d > 1 | user.id == s
s == null or s == body.s
"""
FILL = f"""endpoint POST /fill {{
  body {{ id: int, required, {FIELDS} }}
  do {{ create Thing {{ {", ".join(f"{name}: body.{name}" for name in NAMES)} }} }}
}}"""
ONE = "01890a5d-ac96-774b-bcce-b302099a8057"
GIVEN: dict[str, Any] = {
    "s": "a", "n": 2, "f": 0.5, "d": "1.50", "b": True, "u": ONE, "t": "2026-01-01T00:00:00Z",
    "day": "2026-01-01", "at": "10:00", "dur": "90s", "j": {"a": [1, "x"]}, "tags": ["x"],
    "e": "a1", "r": 1,
}  # fmt: skip
ROWS: tuple[dict[str, Any], ...] = (
    GIVEN,
    {},
    {
        "s": "äb", "n": -7, "f": 1e10, "d": "-0.01", "b": False, "u": ONE[:-1] + "8", "dur": "1s",
        "t": "2030-01-01T00:00:00.000001Z", "day": "2025-12-31", "at": "23:59:59", "tags": [],
        "e": "b1", "r": 2,
    },
    {"s": "", "n": 0, "f": 0, "d": "0", "j": "text", "tags": ["ä", "b"], "r": 1},
)  # fmt: skip
MANY = {"ss": ["a", "x"], "ns": [2, 5], "ds": ["1.50"], "us": [ONE], "ts": [GIVEN["t"]]}
BODIES = ({}, GIVEN | MANY, {"s": "", "j": None, "tags": []} | {key: [] for key in MANY})


def written(text: str) -> list[str]:
    return [each.strip() for line in text.strip().splitlines() for each in line.split(" | ")]


@pytest.fixture(scope="module")
def places(urls: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Place]]:
    program, found = check_text("a.cai", TEXT)
    assert program is not None, found
    url = urls.take()
    sqlite = SqlitePlace(tmp_path_factory.mktemp("alike") / "app.db", program)
    postgres = PostgresPlace(url, program)
    for place in (sqlite, postgres):
        insert = Writer(place.program, "Other").insert()
        with place.unit() as unit:
            insert(unit, {"id": 1, "name": "x", "count": 3})
            insert(unit, {"id": 2})
    yield sqlite, postgres
    sqlite.close()
    postgres.close()
    urls.give(url)


def outcome(place: Place, do: str, body: object) -> bytes:
    """What is answered, and all rows afterwards; nothing of it stays."""
    text = f"{TEXT}endpoint POST /x {{ {BODY} do {{ {do} }} }}\n{FILL}"
    program, found = check_text("a.cai", text)
    assert program is not None, found
    assert [str(each) for each in problems(program)] == []
    plans = [
        ActionPlan(place.program, each.does, each.body)
        for each in program.endpoints
        if isinstance(each.does, Action)
    ]
    listed = ListPlan(place.program, ListOf("Thing", sort=("id",), page_limit=50), ())
    result = b""
    with suppress(Fault), place.unit() as unit:
        scope: dict[str, object] = {"path": {}, "query": {}, "headers": {}, "body": {}}
        fill, change = plans[1], plans[0]
        for number, row in enumerate(ROWS):
            raw = msgspec.json.encode({"id": number, **row})
            fill.run(unit, fill.body.decode(raw), dict(scope))
        answer = change.run(unit, change.body.decode(msgspec.json.encode(body)), dict(scope))
        page, _ = listed.asked.parse({})
        result = msgspec.json.encode([answer, listed.run(unit, page, scope)])
        raise Fault(DECLINED, says="nothing of it stays")
    assert result, do
    return result


@pytest.mark.parametrize("change", written(CHANGES))
def test_a_change_is_the_same_on_both(places: tuple[Place, Place], change: str) -> None:
    for body in BODIES:
        one, two = (
            outcome(each, f"update Thing where id >= 0 {{ {change} }}", body) for each in places
        )
        assert one == two


@pytest.mark.parametrize("condition", written(CONDITIONS))
def test_a_condition_finds_the_same_on_both(places: tuple[Place, Place], condition: str) -> None:
    do = f"""let found = count(Thing where {condition})
      let most = max(Thing.n where {condition})
      update Thing where {condition} {{ sr: "hit" }}
      delete Thing where {condition} and sr != "hit"
      return {{ found: found, most: most }}"""
    for body in BODIES:
        one, two = (outcome(each, do, body) for each in places)
        assert one == two
