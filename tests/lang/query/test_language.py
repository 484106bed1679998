"""What a query may say, what it says when it cannot, and the SQL that comes out."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.lang.api import check_text
from backstay.lang.program import Program
from backstay.lang.query.compile import Compiled
from backstay.lang.query.compile import compile as compile_query
from backstay.lang.query.errors import QueryError
from backstay.lang.query.functions import FUNCTIONS, SPECIAL


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
        ("select from Order where lines = 1", "'lines' is a list of rows, not a value"),
        ("select lines from Order", "'lines' is a list of rows, not a value"),
        ("select from Order order by lines.quantity", "'lines' is a list of rows"),
        ("select from Product where name + 1 = 'x'", "'+' does not fit string and int"),
        ("select from Product where lower(stock) = 'x'", "'lower' does not fit field 'stock'"),
        ("select from Product where lowr(name) = 'x'", "unknown function 'lowr'"),
        ("select from Product where round(price, stock) = 1", "the digits of 'round'"),
        ("select from Product where now(1) > 2", "wrong number of arguments for 'now': expected 0"),
        (
            "select from Product where sum(stock) > 2",
            "'sum' counts over rows and cannot stand here",
        ),
        ("select from Product where @a = @b", "the type of '@a' cannot be told"),
        ("select stock + 1 from Product", "'(stock + 1)' has no name in the answer"),
        ("select sku, sku from Product", "two columns of the answer are named 'sku'"),
        ("select stock, count(*) from Product group by sku", "'stock' is selected but not grouped"),
        ("select sku from Product group by sku order by stock", "'stock' is not grouped by"),
        ("update Product set price = price * 1.5", "has more digits than 'price'"),
        ("update Order set parcel = customer.name", "a value of another row cannot be set"),
        ("select from Product where name contains sku + 'x'", "what follows 'contains' is written"),
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


def test_deleted_rows_stay_and_are_not_seen() -> None:
    source = "entity A {\n  id: uuid, primary, auto\n  n: int\n  soft_delete\n}"
    program, _ = check_text("a.cai", source)
    assert program is not None
    found = made(program, "select id from A where n = 1 or n = 2")
    assert found.sql.split(" ORDER")[0].endswith('AND ("as"."deleted_at" IS NULL)')
    gone = made(program, "delete from A where n = 1")
    assert gone.sql.startswith('UPDATE "as" SET "deleted_at" = ?1 WHERE ("as"."n" = ?2)')
    assert gone.bind(now=1.5) == (1_500_000, 1)


def where(program: Program, condition: str) -> str:
    return made(program, f"count Product where {condition}").sql.split(" WHERE ")[1]


def test_and_binds_stronger_than_or_and_not_strongest(orders: Program) -> None:
    flat = where(orders, "name = a or stock = 1 and not stock = 2 or sku = b").replace(
        '"products".', ""
    )
    assert flat == '(("name" = ?1) OR (("stock" = ?2) AND (NOT ("stock" = ?3))) OR ("sku" = ?4))'


@pytest.mark.parametrize(
    ("condition", "sql"),
    [
        ("stock + 2 * stock > 1", "((s + (?1 * s)) > ?2)"),
        ("(stock + 2) * stock > 1", "(((s + ?1) * s) > ?2)"),
        ("stock - 2 - 3 > 1", "(((s - ?1) - ?2) > ?3)"),
        ("stock -5 > 1", "((s - ?1) > ?2)"),
        ("-stock + 2 > 1", "(((?1 - s) + ?2) > ?3)"),
        ("not stock + 1 = 2 or stock = 3", "((NOT ((s + ?1) = ?2)) OR (s = ?3))"),
        ("(stock = 1 or stock = 2) and stock = 3", "(((s = ?1) OR (s = ?2)) AND (s = ?3))"),
        ("((stock)) = 1", "(s = ?1)"),
        ("not (stock + 1) in [1, 2]", "(NOT ((s + ?1) IN (?2, ?3)))"),
    ],
)
def test_arithmetic_binds_stronger_than_tests(orders: Program, condition: str, sql: str) -> None:
    assert where(orders, condition).replace('"products"."stock"', "s") == sql


def test_a_relation_is_joined_once(orders: Program) -> None:
    text = "select customer.name from Order where customer.email = 'x' order by customer.name"
    found = made(orders, text)
    assert found.sql.count("LEFT JOIN") == 1
    assert found.outputs[0].name == "customer.name"
    keyed = made(orders, "select from Order where customer.id = @id")
    assert "JOIN" not in keyed.sql


def test_a_parameter_may_be_a_path_and_a_page(orders: Program) -> None:
    found = made(orders, "select from Product where stock > @order.count limit @size")
    assert found.parameters == ("order.count", "size")
    assert found.bind({"order.count": 3, "size": 10}) == (3, 10)
    with pytest.raises(QueryError, match="type mismatch for field 'limit': expected 0 or more"):
        found.bind({"order.count": 3, "size": -1})


def test_the_time_is_given_when_the_query_runs(orders: Program) -> None:
    found = made(orders, "select from Order where created_at > now() - 1d12h")
    assert found.bind(now=10.0) == (10_000_000, 129_600.0)
    with pytest.raises(QueryError, match="asks for the time"):
        found.bind()


def test_json_has_decimals_as_texts(orders: Program) -> None:
    found = made(orders, "select from Product where price < @top")
    assert found.bind({"top": "9.50"}) == found.bind({"top": 9.5}) == (950,)
    with pytest.raises(QueryError, match="expected decimal"):
        found.bind({"top": "nine"})


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
                "now()",
                "+",
                "-",
                "/",
                "as",
                "customer.name",
                "lines.quantity",
                "round(",
                "count(*)",
                "1h",
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


@pytest.mark.parametrize(
    "part",
    [
        "not ",
        "(",
        "a,",
        "a:1 ",
        "a:1 or ",
        "not(",
        "'",
        "\\",
        "1" * 9,
        "1 + ",
        "- ",
        "2 * ",
        "a.",
        "lower(",
    ],
)
def test_long_texts_neither_crash_nor_hang(orders: Program, part: str) -> None:
    for start in ("", "select from Product where ", "select from Product where stock in "):
        assert refused(orders, start + part * 20_000, "Product").kind


def test_the_reference_lists_every_function_with_what_it_gives() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/query-language.md").read_text()
    told = dict(re.findall(r"^\| `([a-z]+)(?:\([^`]*\))?` \| (.+) \|$", page, re.MULTILINE))
    assert told == {
        **{name: function.says for name, function in FUNCTIONS.items()},
        **SPECIAL,
    }


@pytest.mark.parametrize("text", ["select from Product where stock > ٣", "stock > 𝟎m", "limit 𝟏"])
def test_digits_of_other_scripts_are_no_numbers(orders: Program, text: str) -> None:
    assert refused(orders, text, "Product").kind in ("LexerError", "ParserError")
