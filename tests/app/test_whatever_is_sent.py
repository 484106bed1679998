"""Patterns, searches, documents, queries and functions: no request makes the server fail."""

from collections.abc import Iterator

import pytest
from tests.app.standing import standing_on
from tests.conformance.proofs.support import Serving
from tests.sending import send

EXAMPLES = 6
MANY = 100
TEXT = """
database mongodb {
  collection Product {
    _id: objectid, primary, auto
    sku: string, required, unique
    tags: array(string)
    maker: embedded { name: string, required, address: embedded { city: string, zip: string } }
    weight: double
    extra: mixed
  }
}
entity Visit {
  id: int, primary, auto
  code: string, required, unique, pattern("^[A-Z]+-[0-9]+$")
  note: text, searchable
  opens: time, default("09:00")
  rank: int, default(1)
  price: decimal(10, 2), default(1)
  changed: timestamp, auto_update
  soft_delete
  indexes { index: [code, rank] unique }
}
function weight(a, b) { return a % b + a / b }
function pick(words: list(string), at: int) -> string { return len(words) > at ? words[at] : "none" }

endpoint GET /products { returns: paginated(Product) filter: [sku, weight, tags, extra] sort: [sku, weight] }
endpoint POST /products {
  body {
    sku: string, required
    tags: list(string)
    maker: { name: string, required, address: { city: string, zip: string } }
    weight: float
    extra: json
  }
  returns: Product
  status: 201
}
endpoint GET /visits { returns: paginated(Visit) filter: [code, opens, rank, price] sort: [opens, rank] }
endpoint GET /odd {
  query { by: int, required, than: decimal(10, 2), required, at: time }
  returns: list(Visit)
  where: (rank % query.by == 1 ? price : price * 2) % query.than >= 0 and (opens <= query.at or query.at == null)
}
endpoint POST /visits {
  body { code: string, required, pattern("^[A-Z]+-[0-9]+$"), note: text, opens: time, rank: int }
  returns: Visit
  status: 201
}
endpoint PATCH /visits/{id} {
  path { id: int }
  body { code: string, note: text, opens: time }
  returns: Visit
}
endpoint DELETE /visits/{id} { path { id: int } returns: void }
endpoint POST /visits/{id}/restore { path { id: int } do { restore Visit where id == path.id return { back: count(Visit) } } }
endpoint POST /compute {
  body { a: int, required, b: int, required, words: list(string), required, at: int, required, town: string, free: json, since: timestamp, required }
  do {
    var due = body.since
    for word in body.words { due = due + 1h }
    let rows = query "select sku, weight from Product where tags contains @body.at or maker.address.city = @body.town order by sku limit 5"
    let many = query "count(Visit) where rank > @body.b and changed > @body.since"
    let free = body.free
    return {
      weight: weight(body.a, body.b), word: pick(body.words, body.at), due: due, rows: rows, many: many,
      sum: free.n + body.a, first: [body.a, body.b][body.at], joined: join(body.words, "-"), chance: random()
    }
  }
}
"""


@pytest.fixture(scope="module")
def server(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    with standing_on(kind, request, tmp_path_factory.mktemp("sent"), TEXT) as serving:
        yield serving


def test_no_answer_is_a_failure(server: Serving) -> None:
    send(f"http://127.0.0.1:{server.port}", (0, 1), EXAMPLES)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(3))
def test_no_answer_of_many_is_a_failure(server: Serving, part: int) -> None:
    send(f"http://127.0.0.1:{server.port}", (part, 3), MANY)
