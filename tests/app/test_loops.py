"""Loops inside one transaction are bounded: nobody holds the one writer for long."""

from pathlib import Path

import pytest
from tests.app.serving import served
from tests.app.support import NewDatabase
from tests.app.test_expressions import checked

from backstay.app.plan.unit import MAX_LOOPED

LOOP = """
entity Item { id: uuid, primary, auto
  n: int }
function spin(times: int) -> int {
  var sum = 0
  for n in range(0, times) { sum = sum + 1 }
  return sum
}
endpoint POST /loop {
  auth: public
  body { outer: int, required, inner: int, required }
  do {
    create Item { n: 1 }
    for a in range(0, body.outer) {
      for b in range(0, body.inner) { let c = b }
    }
  }
}
endpoint POST /spin { auth: public body { times: int, required } do { return { n: spin(body.times) } } }
endpoint GET /items { auth: public returns: paginated(Item) }
"""


@pytest.mark.parametrize(
    ("outer", "inner", "status"), [(300, 300, 204), (400, 300, 422), (1, 100_001, 422)]
)
async def test_a_loop_that_is_too_long_keeps_nothing(
    tmp_path: Path, new_database: NewDatabase, outer: int, inner: int, status: int
) -> None:
    async with served(checked(LOOP), tmp_path, database=new_database()) as app:
        answer = await app.ask("POST", "/loop", {"outer": outer, "inner": inner})
        assert answer.status in (status, 200 if status == 204 else status), answer.body
        if status == 422:
            assert answer["code"] == "APP077"
            assert f"more than {MAX_LOOPED} statements" in answer.body.decode()
        kept = len((await app.ask("GET", "/items")).json["data"])
        assert kept == (0 if status == 422 else 1)


async def test_a_loop_in_a_function_counts_as_well(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    async with served(checked(LOOP), tmp_path, database=new_database()) as app:
        assert (await app.ask("POST", "/spin", {"times": 1000})).json == {"n": 1000}
        answer = await app.ask("POST", "/spin", {"times": MAX_LOOPED + 1})
        assert (answer.status, answer["code"]) == (422, "APP077")
