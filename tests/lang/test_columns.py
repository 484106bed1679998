"""Each field of a program has one column type in each database."""

import pytest

from backstay.lang.api import check_text
from backstay.lang.columns import Dialect, column

PROGRAM = """
entity Owner { id: uuid, primary }
entity Thing {
  id: int, primary
  name: string, required
  kind: enum(a, b)
  price: decimal(8, 2)
  seen: timestamp
  day: date
  took: duration
  on: bool
  notes: json
  tags: list(string)
  owner: ref(Owner)
}
"""

WANTED = {
    "id": ("INTEGER", "BIGINT"),
    "name": ("TEXT", 'TEXT COLLATE "C"'),
    "kind": ("TEXT", 'TEXT COLLATE "C"'),
    "price": ("INTEGER", "NUMERIC(8,2)"),
    "seen": ("INTEGER", "TIMESTAMPTZ"),
    "day": ("TEXT", "DATE"),
    "took": ("REAL", "DOUBLE PRECISION"),
    "on": ("INTEGER", "BOOLEAN"),
    "notes": ("TEXT", "JSON"),
    "tags": ("TEXT", "JSON"),
    "owner": ("TEXT", "UUID"),
}


@pytest.mark.parametrize(("place", "dialect"), [(0, "sqlite"), (1, "postgres")])
def test_columns_of_every_type(place: int, dialect: Dialect):
    program, problems = check_text("a.cai", PROGRAM)
    assert program is not None, problems
    fields = program.entity("Thing").fields
    made = {field.name: column(program, field.type, dialect) for field in fields}
    assert made == {name: types[place] for name, types in WANTED.items()}
