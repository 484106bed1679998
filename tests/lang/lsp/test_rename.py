"""A new name, everywhere at once: for every name of every example, and refused where it breaks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backstay.core.errors import Fault
from backstay.lang.api import check_text
from backstay.lang.lsp.index import Place
from backstay.lang.lsp.project import Project
from backstay.lang.lsp.rename import edits, verify, written

ROOT = Path(__file__).parents[3]
PROGRAMS = sorted(
    path
    for path in (*ROOT.glob("examples/**/*.cai"), *ROOT.glob("src/backstay/lang/starters/*.cai"))
    if not path.stem.startswith("original")
)


def project(text: str) -> Project:
    made = Project()
    made.put("a.cai", text)
    return made


def defined(made: Project) -> Iterator[Place]:
    seen = set()
    for place in made.analysis.index.places:
        if place.defines and place.symbol not in seen:
            seen.add(place.symbol)
            yield place


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_every_name_of_an_example_can_have_another_one(path: Path) -> None:
    text = path.read_text()
    made = project(text)
    before = made.analysis.found["a.cai"]
    for place in defined(made):
        spans = edits(made.analysis.index, place, "another_name")
        after = written(text, spans, "a.cai", "another_name")
        program, found = check_text("a.cai", after)
        assert program is not None, (place.symbol, found)
        # Nothing else of that name is left: a missed place would be unknown now.
        assert len(found) <= len(before), (place.symbol, found)


QUERY = """entity Customer { id: uuid, primary, auto
  name: string
}
entity Order { id: uuid, primary, auto
  customer: ref(Customer)
}
workflow w {
  input { who: ref(Customer) }
  steps {
    a {
      query: select customer.name from Order where customer = @who.id and customer.name != 'name'
      as: rows
    }
    b { action: log_info(rows) }
  }
}
"""


@pytest.mark.parametrize(
    ("word", "becomes"),
    [
        (
            "name",
            "select customer.title from Order where customer = @who.id and customer.title != 'name'",
        ),
        ("who", "where customer = @title.id and"),
        ("Order", "select customer.name from title where"),
        ("rows", "as: title"),
    ],
)
def test_a_name_inside_a_query_is_found(word: str, becomes: str) -> None:
    made = project(QUERY)
    place = next(each for each in defined(made) if each.symbol.name == word)
    spans = edits(made.analysis.index, place, "title")
    after = written(QUERY, spans, "a.cai", "title")
    assert becomes in after
    assert not [each for each in check_text("a.cai", after)[1] if each.severity == "error"]


def test_a_name_that_is_taken_is_refused() -> None:
    made = project(QUERY)
    place = next(each for each in defined(made) if each.symbol.name == "Order")
    spans = edits(made.analysis.index, place, "Customer")
    with pytest.raises(Fault, match="would have mistakes: duplicate declaration 'Customer'"):
        verify(made.documents, spans, "Customer")


@pytest.mark.parametrize("name", ["", "1a", "a b", "a.b", "ä"])
def test_what_is_no_name_is_refused(name: str) -> None:
    made = project(QUERY)
    with pytest.raises(Fault, match="is not a name"):
        edits(made.analysis.index, next(defined(made)), name)
