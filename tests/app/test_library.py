"""The language's library behind endpoints: a real server, on each database."""

from collections.abc import Callable
from pathlib import Path

from tests.app.serving import served

from backstay.app.store.session import Database
from backstay.app.unsupported import problems
from backstay.lang.api import check_text

SOURCE = """
entity Note {
  id: uuid, primary, auto
  title: string, required
  written: timestamp, required
  access { read: true, write: true }
}

endpoint POST /bills {
  auth: public
  body { lines: list({ name: string, price: decimal(8, 2), count: int }), since: timestamp, note: string }
  do {
    let dear = filter(body.lines, line => line.price > 1)
    let names = map(sort_by(dear, line => line.name), line => upper(line.name))
    return {
      total: sum(body.lines, line => line.price * line.count),
      names: names,
      joined: join(names, "+"),
      many: find(body.lines, line => line.count > 5),
      due: add_days(body.since, 14),
      day: format_date(add_days(body.since, 14), "DD.MM.YYYY"),
      late: diff_days(now(), body.since) > 100,
      note: lower(body.note),
      words: split(replace(body.note ?? "a-b", "-", " "), " "),
      wait: duration("90m"),
      stamps: join(map(dear, line => body.since), ","),
      json: to_json({ since: body.since, price: first(dear).price }),
      empty: max(map(dear, line => line.count)) == null,
    }
  }
}

endpoint POST /notes {
  auth: public
  body { title: string, required, days: int, required }
  do {
    let note = create Note { title: trim(body.title), written: add_days(now(), body.days) }
    return note
  }
}

endpoint GET /notes {
  auth: public
  returns: paginated(Note)
  where: written > add_days(now(), 0 - 7)
}

endpoint POST /days {
  auth: public
  body { text: string, required }
  do { return { day: parse_date(body.text) } }
}
"""
LINES = [
    {"name": "lamp", "price": "20.00", "count": 2},
    {"name": "chair", "price": "49.90", "count": 1},
    {"name": "nail", "price": "0.05", "count": 100},
]


async def test_functions_and_lambdas_answer(
    tmp_path: Path, new_database: Callable[[], Database]
) -> None:
    program, found = check_text("app.cai", SOURCE)
    assert program is not None, found
    assert problems(program) == []
    async with served(program, tmp_path, database=new_database()) as app:
        body = {"lines": LINES, "since": "2026-01-01T00:00:00Z", "note": "X-Y z"}
        answer = await app.ask("POST", "/bills", body)
        assert answer.status == 200, answer.body
        assert answer.json == {
            "total": "94.90",
            "names": ["CHAIR", "LAMP"],
            "joined": "CHAIR+LAMP",
            "many": LINES[2],
            "due": "2026-01-15T00:00:00.000000Z",
            "day": "15.01.2026",
            "late": True,
            "note": "x-y z",
            "words": ["X", "Y", "z"],
            "wait": "1h30m0s",
            "stamps": "2026-01-01T00:00:00.000000Z,2026-01-01T00:00:00.000000Z",
            "json": '{"since":"2026-01-01T00:00:00.000000Z","price":"20.00"}',
            "empty": False,
        }
        nothing = await app.ask("POST", "/bills", {})
        assert nothing.status == 200, nothing.body
        assert (nothing["total"], nothing["names"], nothing["day"]) == ("0.00", [], None)
        assert (nothing["words"], nothing["empty"]) == (["a", "b"], True)


async def test_a_function_in_a_condition_on_rows_is_asked_of_the_database(
    tmp_path: Path, new_database: Callable[[], Database]
) -> None:
    program, _ = check_text("app.cai", SOURCE)
    assert program is not None
    async with served(program, tmp_path, database=new_database()) as app:
        for title, days in (("  new ", 0), ("old", -30), ("last week", -6)):
            assert (await app.ask("POST", "/notes", {"title": title, "days": days})).status == 200
        answer = await app.ask("GET", "/notes")
        rows = answer["data"]
        assert isinstance(rows, list)
        assert sorted(each["title"] for each in rows) == ["last week", "new"]


async def test_what_a_function_refuses_is_a_mistake_of_the_request(
    tmp_path: Path, new_database: Callable[[], Database]
) -> None:
    program, _ = check_text("app.cai", SOURCE)
    assert program is not None
    async with served(program, tmp_path, database=new_database()) as app:
        assert (await app.ask("POST", "/days", {"text": "2026-02-28"})).json == {
            "day": "2026-02-28"
        }
        answer = await app.ask("POST", "/days", {"text": "2026-02-30"})
        assert (answer.status, answer["code"]) == (422, "APP023")
        assert "'2026-02-30' is no date such as 2026-03-01" in answer.body.decode()
