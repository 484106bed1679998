"""What an endpoint reads is found in the program, on every way there is to a row or to the reader."""

from backstay.app.cache.reads import Reads, reads_of
from backstay.lang.api import check_text

ENTITIES = """
entity Shop { id: uuid, primary, auto
  owner: string, required }
entity Item { id: uuid, primary, auto
  shop: ref(Shop), required
  name: string, required
  access { read: %s } }
entity Note { id: uuid, primary, auto
  text: string, required
  access { read: true } }
function mine(owner: string) -> bool { return owner == "me" }
function many(n: int) -> bool { return count(Note where text != "") > n }
"""


def reads(rule: str, members: str) -> Reads:
    text = ENTITIES % rule + f"endpoint GET /x {{ auth: public\n {members}\n cache: 5m }}"
    program, found = check_text("app.cai", text)
    assert program is not None, found
    return reads_of(program, program.endpoints[0])


def test_the_entity_and_whatever_its_rule_walks_to() -> None:
    assert reads("true", "returns: paginated(Item)") == Reads(("items",), False)
    assert reads('shop.owner == "x"', "returns: paginated(Item)") == Reads(
        ("items", "shops"), False
    )


def test_a_rule_or_a_condition_that_asks_who_reads() -> None:
    assert reads("name == user.id", "returns: paginated(Item)").by_user
    assert reads('user.has("staff")', "returns: paginated(Item)").by_user
    assert reads("true", "returns: paginated(Item)\n where: name == user.id").by_user


def test_rows_beside_the_row_with_the_rules_of_their_own() -> None:
    members = "path { id: uuid }\n returns: Item\n include: [shop]"
    text = ENTITIES % "true" + f"endpoint GET /x/{{id}} {{ auth: public\n {members}\n cache: 5m }}"
    program, found = check_text("app.cai", text)
    assert program is not None, found
    assert reads_of(program, program.endpoints[0]).tables == ("items", "shops")


def test_a_function_in_a_condition_is_looked_into() -> None:
    found = reads(
        "true", "query { n: int, default(1) }\n returns: paginated(Item)\n where: many(query.n)"
    )
    assert found.tables == ("items", "notes")


def test_declared_headers_are_part_of_the_question() -> None:
    found = reads("true", "headers { x_region: string }\n returns: paginated(Note)")
    assert found.headers == ("x-region",)
