"""Whose a row is that has no owner: nobody's, whoever asks."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.app.serving import ANONYMOUS, Served, served
from tests.app.support import NewDatabase

from backstay.core.context import Principal
from backstay.lang.api import check_text

TEXT = """
config { auth: jwt { secret: env("JWT_SECRET") } }
entity Note {
  id: int, primary
  owner: string
  email: string
  access { read: owner == user.id or email == user.email, write: user.id == owner }
}
endpoint GET /notes { auth: optional returns: list(Note) sort: [id] }
endpoint POST /notes {
  auth: optional
  body { id: int, required, owner: string, email: string }
  do { let note = create Note { id: body.id, owner: body.owner, email: body.email } return note }
}
endpoint DELETE /notes { auth: optional do { delete Note where id > 0 } }
"""
NOTES = ({"owner": "ada"}, {"owner": ""}, {"email": "a@b.c"}, {"email": ""}, {})
ADA = Principal("user", sub="ada")
MAIL = Principal("user", sub="m", claims={"email": "a@b.c"})
BLANK = Principal("user", sub="b", claims={"email": ""})


@pytest.fixture
async def app(tmp_path: Path, new_database: NewDatabase) -> AsyncIterator[Served]:
    program, found = check_text("notes.cai", TEXT)
    assert program is not None, found
    async with served(program, tmp_path, database=new_database()) as made:
        rows = [("Note", {"id": at, **note}) for at, note in enumerate(NOTES, 1)]
        assert (await made.seed(*rows)).status == 200
        yield made


@pytest.mark.parametrize(("who", "sees"), [(ANONYMOUS, []), (ADA, [1]), (MAIL, [3]), (BLANK, [])])
async def test_who_is_nobody_has_no_rows(app: Served, who: Principal, sees: list[int]) -> None:
    listed = (await app.ask("GET", "/notes", who=who)).json
    assert [each["id"] for each in listed] == sees  # type: ignore[attr-defined]


async def test_nobody_makes_or_removes_rows_without_an_owner(app: Served) -> None:
    for owner in (None, "", "ada"):
        made = await app.ask("POST", "/notes", {"id": 9, "owner": owner}, who=ANONYMOUS)
        assert (made.status, made["code"]) == (403, "APP014")
    await app.ask("DELETE", "/notes", who=ANONYMOUS)
    assert await app.rows("SELECT count(*) FROM notes") == [(5,)]
    assert (await app.ask("POST", "/notes", {"id": 9, "owner": "ada"}, who=ADA)).status == 200
