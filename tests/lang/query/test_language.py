"""What a query may say, what it says when it cannot, and the SQL that comes out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.lang.api import check_text
from backstay.lang.program import Program
from backstay.lang.query.compile import Compiled
from backstay.lang.query.compile import compile as compile_query
from backstay.lang.query.errors import QueryError


def made(program: Program, text: str, entity: str = "") -> Compiled:
    return compile_query(program, text, "sqlite", entity)


def refused(program: Program, text: str, entity: str = "") -> QueryError:
    with pytest.raises(QueryError) as caught:
        made(program, text, entity)
    return caught.value


@pytest.mark.parametrize(
    ("text", "kind", "message", "column"),
    [
        ("select @ from Product", "LexerError", "unexpected character '@'", 8),
        ("select from Product where name = 'x", "LexerError", "unterminated string", 34),
        ("select 123", "ParserError", "expected identifier, got '123'", 8),
        ("select from Product where stock", "ParserError", "unexpected end of input", 32),
        ("select from Product where (stock = 1", "ParserError", "unexpected end of input", 37),
        ("", "ParserError", "expected query, got end of input", 1),
        ("select from Product limit -5", "ParserError", "expected a whole number, got '-5'", 27),
        ("select from Product where stock ! 1", "LexerError", "unexpected character '!'", 33),
        ("select from Prodct", "SemanticError", "unknown entity 'Prodct'", 13),
        (
            "select from Product where colour = 1",
            "CompilerError",
            "unknown field 'colour' on entity 'Product'",
            27,
        ),
        (
            "select from Product where stock = 'x'",
            "CompilerError",
            "type mismatch for field 'stock': expected int, got string",
            35,
        ),
        (
            "select from Order where status = payd",
            "CompilerError",
            "type mismatch for field 'status': expected enum(pending, reserved, paid, packed,"  # noqa: ISC004
            " fulfilled, cancelled, refunded), got 'payd'",
            34,
        ),
        (
            "select from Product where stock in 5",
            "CompilerError",
            "IN operator requires array value",
            36,
        ),
        (
            "select from Product where " + "(" * 11 + "stock = 1" + ")" * 11,
            "ParserError",
            "maximum nesting depth of 10 exceeded",
            37,
        ),
    ],
)
def test_a_mistake_has_its_kind_text_and_place(
    orders: Program, text: str, kind: str, message: str, column: int
) -> None:
    bad = refused(orders, text)
    assert (bad.kind, bad.message, bad.line, bad.column) == (kind, message, 1, column)
    assert bad.said == f"{kind} at line 1, column {column}: {message}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('"a phrase"', "no text search column configured for entity 'Product'"),
        ("~fuzzy", "no text search column configured for entity 'Product'"),
        ("name", "'name' alone is a condition only for a field of type bool"),
        ("select from Order with lines", "'lines' of Order is a list and cannot be included"),
        ("select from Product where stock like 'a'", "the operator 'like' does not fit field"),
        ("update Product set id = 'x'", "the key 'id' cannot be changed"),
        ("delete from Product limit 3", "'limit' has no meaning for delete"),
        ("sum(name) from Product", "'sum' does not fit field 'name' of type string"),
        ("select name, sku from Product group by sku", "'name' is selected but not grouped by"),
    ],
)
def test_what_has_no_sql_is_refused_by_name(orders: Program, text: str, says: str) -> None:
    bad = refused(orders, text, "Product")
    assert bad.kind == "CompilerError"
    assert says in bad.message


def test_rows_that_only_look_deleted_are_not_shown_by_accident() -> None:
    program, _ = check_text("a.cai", "entity A {\n  id: uuid, primary, auto\n  soft_delete\n}")
    assert program is not None
    assert "'A' is soft-deleted" in refused(program, "select from A").message


def where(program: Program, condition: str) -> str:
    return made(program, f"count Product where {condition}").sql.split(" WHERE ")[1]


def test_and_binds_stronger_than_or_and_not_strongest(orders: Program) -> None:
    flat = where(orders, "name = a or stock = 1 and not stock = 2 or sku = b").replace(
        '"products".', ""
    )
    assert flat == '(("name" = ?) OR (("stock" = ?) AND (NOT ("stock" = ?))) OR ("sku" = ?))'


def test_keywords_are_case_insensitive_and_may_name_fields(orders: Program) -> None:
    loud = made(orders, "SELECT name FROM product WHERE stock IS NOT NULL ORDER BY name DESC")
    quiet = made(orders, "select name from Product where stock is not null order by name desc")
    assert loud == quiet
    assert made(orders, "select text from Notification where text = 'x'").outputs[0].name == "text"


def test_a_name_in_camel_case_finds_the_field(orders: Program) -> None:
    assert made(orders, "select createdAt from Order").outputs[0].name == "created_at"


def test_values_never_stand_in_the_sql(orders: Program) -> None:
    evil = "x'; drop table products; --"
    found = made(orders, f'select from Product where name = "{evil}" or sku contains "{evil}"')
    assert "drop" not in found.sql
    assert found.bind() == (evil, f"%{evil}%")


def test_parameters_are_bound_by_name_and_checked(orders: Program) -> None:
    found = made(orders, "select from Product where stock > @low and price < $top and sku in @skus")
    assert found.parameters == ("low", "top", "skus")
    assert found.bind({"low": 3, "top": 9.5, "skus": ["a", "b"]}) == (3, 950, '["a","b"]')
    for given_, says in (
        ({"low": "3", "top": 1, "skus": []}, "expected int, got string"),
        ({"low": None, "top": 1, "skus": []}, "expected int, got null"),
        ({"low": 3, "top": 1, "skus": "a"}, "expected a list, got string"),
        ({"low": 3}, "the parameter '@top' has no value"),
    ):
        with pytest.raises(QueryError, match=says):
            found.bind(given_)


def test_filters_want_an_entity(orders: Program) -> None:
    assert "which entity" in refused(orders, "stock:1").message
    loosely = made(orders, "sku:123 stock>1", "Product")
    assert loosely.bind() == ("123", 1)


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [
                "select",
                "count",
                "sum",
                "update",
                "delete",
                "from",
                "Product",
                "Order",
                "where",
                "and",
                "or",
                "not",
                "in",
                "is",
                "null",
                "set",
                "by",
                "order",
                "group",
                "having",
                "limit",
                "offset",
                "name",
                "stock",
                "1",
                "-2.5",
                "'x'",
                "@p",
                "(",
                ")",
                "[",
                "]",
                ",",
                "=",
                "<",
                ":",
                "~",
                "*",
                "with",
                "between",
                "like",
                "now",
            ]
        ),
        max_size=14,
    ).map(" ".join)
    | st.text(max_size=40)
)
def test_any_text_gives_sql_or_one_of_the_kinds(orders: Program, text: str) -> None:
    try:
        said = made(orders, text, "Product").sql
    except QueryError as bad:
        said = bad.kind
    assert said.split()[0] in (
        *("LexerError", "ParserError", "SemanticError", "CompilerError"),
        *("SELECT", "UPDATE", "DELETE"),
    )


@pytest.mark.parametrize("part", ["not ", "(", "a,", "a:1 ", "a:1 or ", "not(", "'", "\\", "1" * 9])
def test_long_texts_neither_crash_nor_hang(orders: Program, part: str) -> None:
    for start in ("", "select from Product where ", "select from Product where stock in "):
        assert refused(orders, start + part * 20_000, "Product").kind
