"""What SQL says about a row is what Python says: conditions, access rules and changes, at random."""

from decimal import Decimal
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.app import programs as p
from tests.app.support import NewPlace, Place

from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.operators import truth
from backstay.app.plan.rows import Rows
from backstay.app.plan.rules import rule
from backstay.app.plan.sql import SqlCompiler
from backstay.app.plan.tables import Table, table
from backstay.app.plan.unit import Row, Unit
from backstay.app.plan.writes import Insert, Writer
from backstay.app.store.aim import aim
from backstay.app.store.dialect import Dialect
from backstay.core.context import Principal
from backstay.lang.program import Choose, Expr, Type, Unary

MONEY4 = p.DecimalType(12, 4)
COLOUR = p.EnumType(("red", "green"))
OWNER = p.Entity("Owner", "owners", (p.key(), p.Field("team", p.STRING), p.Field("score", p.INT)))
THING = p.Entity(
    "Thing",
    "things",
    (
        p.key(),
        p.Field("count", p.INT),
        p.Field("size", p.INT, required=True),
        p.Field("price", p.MONEY),
        p.Field("rate", MONEY4),
        p.Field("weight", p.FLOAT),
        p.Field("name", p.STRING),
        p.Field("tag", p.STRING, required=True),
        p.Field("colour", COLOUR),
        p.Field("done", p.BOOL),
        p.Field("at", p.STAMP),
        p.Field("owner", p.RefType("Owner")),
    ),
)
PROGRAM = p.program(OWNER, THING)
THINGS = table(PROGRAM, "Thing")
OWNERS = ["00000000-0000-7000-8000-00000000000" + digit for digit in "12"]
TEAMS = {OWNERS[0]: ("blue", 3), OWNERS[1]: (None, None)}

SMALL = st.integers(-4, 4)
WORDS = st.sampled_from(["", "a", "ab", "B", "é", "it's", "%", "a_b"])
MONEYS = st.decimals(-3, 3, places=2)
RATES = st.decimals(-3, 3, places=4)
FLOATS = st.sampled_from([-1.5, 0.0, 0.25, 2.0])
STAMPS = st.sampled_from([1_000_000, 2_000_000, 1_750_000_000_000_000])

KINDS: dict[str, tuple[Type, st.SearchStrategy[object], tuple[str, ...]]] = {
    "int": (p.INT, SMALL, ("count", "size")),
    "money": (p.MONEY, MONEYS, ("price",)),
    "rate": (MONEY4, RATES, ("rate",)),
    "float": (p.FLOAT, FLOATS, ("weight",)),
    "text": (p.STRING, WORDS, ("name", "tag")),
    "colour": (COLOUR, st.sampled_from(COLOUR.members), ("colour",)),
    "bool": (p.BOOL, st.booleans(), ("done",)),
    "stamp": (p.STAMP, STAMPS, ("at",)),
    "owner": (p.RefType("Owner"), st.sampled_from(OWNERS), ("owner",)),
}
NUMBERS = ("int", "money", "rate")


def column(name: str) -> st.SearchStrategy[Expr]:
    kind, _, fields = KINDS[name]
    return st.sampled_from([p.Column(field, kind) for field in fields])


def literal(name: str) -> st.SearchStrategy[Expr]:
    kind, values, _ = KINDS[name]
    return st.builds(lambda value: p.Constant(value, kind), st.none() | values)


def number(depth: int = 1) -> st.SearchStrategy[Expr]:
    leaf = st.sampled_from(NUMBERS).flatmap(lambda name: column(name) | literal(name))
    team_score = st.just(p.Get(p.Column("owner", p.RefType("Owner")), "score", p.INT))
    if depth == 0:
        return leaf | team_score
    rest = st.builds(
        lambda left, right: arithmetic("%", left, p.Constant(right, p.INT)),
        number(0),
        st.sampled_from([-3, -1, 1, 2, 5]),
    )
    chosen = st.builds(choice, comparison(0), number(0), number(0))
    computed = st.builds(arithmetic, st.sampled_from("+-*"), number(0), number(0))
    return leaf | team_score | computed | rest | chosen


def choice(test: Expr, then: Expr, otherwise: Expr) -> Expr:
    scales = [
        each.type.scale if isinstance(each.type, p.DecimalType) else 0 for each in (then, otherwise)
    ]
    scale = max(scales)
    return Choose(test, then, otherwise, p.DecimalType(38, scale) if scale else p.INT)


def arithmetic(op: str, left: Expr, right: Expr) -> Expr:
    scales = [
        each.type.scale if isinstance(each.type, p.DecimalType) else 0 for each in (left, right)
    ]
    scale = sum(scales) if op == "*" else max(scales)
    return p.binary(op, left, right, p.DecimalType(38, scale) if scale else p.INT)


def comparison(depth: int = 1) -> st.SearchStrategy[Expr]:
    same = st.sampled_from(sorted(KINDS)).flatmap(
        lambda name: st.builds(
            p.binary,
            st.sampled_from(["==", "!="]),
            column(name),
            column(name) | literal(name),
        )
    )
    ordered = st.sampled_from(["int", "money", "rate", "float", "text", "stamp"]).flatmap(
        lambda name: st.builds(
            p.binary,
            st.sampled_from(["<", "<=", ">", ">="]),
            column(name) | literal(name),
            column(name),
        )
    )
    numbers = st.builds(
        p.binary, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), number(depth), number(depth)
    )
    team = p.Get(p.Column("owner", p.RefType("Owner")), "team", p.STRING)
    through = st.builds(lambda value: p.eq(team, p.Constant(value, p.STRING)), st.none() | WORDS)
    return same | ordered | numbers | through | st.just(p.eq(team, p.text("blue"))) | texts()


def texts() -> st.SearchStrategy[Expr]:
    name = st.sampled_from([p.Column("name", p.STRING), p.Column("tag", p.STRING)])
    found = st.builds(
        lambda op, of, word: p.Call(op, (of, p.text(word)), p.BOOL),
        st.sampled_from(["contains", "starts_with"]),
        name,
        WORDS,
    )
    length = st.builds(
        lambda of, size: p.binary(">", p.Call("len", (of,), p.INT), p.Constant(size, p.INT)),
        name,
        st.integers(0, 3),
    )
    listed = st.builds(
        lambda of, words: p.binary("in", of, p.Name("words", p.ListType(p.STRING))),
        name,
        st.just(0),
    )
    other = st.builds(
        lambda of, word, then: p.eq(p.binary("??", of, p.text(then), p.STRING), p.text(word)),
        name,
        WORDS,
        WORDS,
    )
    joined = st.builds(
        lambda of, word, then: p.eq(p.binary("+", of, p.text(then), p.STRING), p.text(word)),
        name,
        WORDS,
        WORDS,
    )
    return found | length | listed | other | joined


def condition() -> st.SearchStrategy[Expr]:
    leaf = comparison() | st.just(p.Column("done", p.BOOL)) | st.just(p.has("staff"))
    return st.recursive(
        leaf,
        lambda inner: (
            st.builds(p.binary, st.sampled_from(["and", "or"]), inner, inner)
            | st.builds(lambda each: Unary("not", each, p.BOOL), inner)
            | st.builds(lambda each: p.eq(each, p.TRUE), inner)
        ),
        max_leaves=6,
    )


def row() -> st.SearchStrategy[dict[str, object]]:
    def of(name: str) -> st.SearchStrategy[object]:
        return KINDS[name][1]

    return st.fixed_dictionaries(
        {
            "count": st.none() | of("int"),
            "size": of("int"),
            "price": st.none() | of("money"),
            "rate": st.none() | of("rate"),
            "weight": st.none() | of("float"),
            "name": st.none() | of("text"),
            "tag": of("text"),
            "colour": st.none() | of("colour"),
            "done": st.none() | of("bool"),
            "at": st.none() | of("stamp"),
            "owner": st.none() | of("owner"),
        }
    )


def of_row(expr: object) -> object:
    """The same expression, but about the variable `row`: no column, so Python evaluates it."""
    if isinstance(expr, p.Column):
        return p.Get(p.Name("row", p.RowType("Thing")), expr.field, expr.type)
    if isinstance(expr, tuple):
        return tuple(of_row(each) for each in expr)
    if hasattr(expr, "__struct_fields__"):
        return type(expr)(*(of_row(getattr(expr, name)) for name in expr.__struct_fields__))
    return expr


@pytest.fixture(scope="module")
def place(new_module_place: NewPlace) -> Place:
    made = new_module_place(PROGRAM)
    insert = Writer(made.program, "Owner").insert()
    with made.unit() as unit:
        for owner, (team, score) in TEAMS.items():
            insert(unit, {"id": owner, "team": team, "score": score})
    return made


@cache
def evaluator(dialect: Dialect) -> Evaluator:
    program = aim(PROGRAM, dialect)
    return Evaluator(program, Rows(program, guarded=False))


@cache
def things(dialect: Dialect) -> Table:
    return table(aim(PROGRAM, dialect), "Thing")


@cache
def insert(dialect: Dialect) -> Insert:
    return Writer(aim(PROGRAM, dialect), "Thing").insert()


WHO = st.sampled_from(
    [Principal("user", sub="ada", roles=frozenset({"staff"})), Principal("user", sub="bob")]
)
SCOPE: dict[str, object] = {"words": ["a", "é", "B"]}


def stored(unit: Unit, values: dict[str, object]) -> Row:
    unit.conn.execute("DELETE FROM things")
    return insert(unit.conn.dialect)(unit, values)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(expr=condition(), values=row(), who=WHO)
def test_a_condition_selects_the_rows_for_which_python_says_true(
    place: Place, expr: Expr, values: dict[str, object], who: Principal
) -> None:
    with place.unit() as system:
        held = stored(system, values)
    with place.unit(who) as unit:
        python = truth(evaluator(place.dialect).closure(of_row(expr))(unit, {**SCOPE, "row": held}))  # type: ignore[arg-type]
        sql = SqlCompiler(evaluator(place.dialect), things(place.dialect)).condition(expr)
        found = place.all(f"SELECT count(*) FROM things WHERE {sql.text}", *sql.bind(unit, SCOPE))
    assert found == [(int(python),)], (sql.text, sql.bind(unit, SCOPE))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(expr=condition(), values=row(), who=WHO)
def test_an_access_rule_in_sql_is_the_rule_in_python(
    place: Place, expr: Expr, values: dict[str, object], who: Principal
) -> None:
    guarded = p.replace(THING, access=p.Access(read=p.both(expr, p.TRUE)))
    program = aim(p.program(OWNER, guarded, auth=True), place.dialect)
    rows = table(program, "Thing")
    with place.unit() as system:
        held = stored(system, values)
    with place.unit(who) as unit:
        sql = rule(program, Rows(program, guarded=False), rows, "read")
        assert sql is not None
        # A rule speaks of the row and of the user alone, so it has no variables at all.
        scope = {"words": []} if "json_" in sql.text else {}
        python = truth(evaluator(place.dialect).closure(of_row(expr))(unit, {**scope, "row": held}))  # type: ignore[arg-type]
        found = place.all(f"SELECT count(*) FROM things WHERE {sql.text}", *sql.bind(unit, scope))
    assert found == [(int(python),)]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(expr=number(), values=row(), field=st.sampled_from(["price", "rate"]))
def test_a_change_stores_what_python_computes(
    place: Place, expr: Expr, values: dict[str, object], field: str
) -> None:
    with place.unit() as unit:
        held = stored(unit, values)
        value = evaluator(place.dialect).closure(of_row(expr))(unit, {**SCOPE, "row": held})  # type: ignore[arg-type]
        rows = things(place.dialect)
        expected = rows.column(field).codec.fit(value)
        update = Writer(place.program, "Thing").update(p.TRUE, [(field, expr)])
        assert update(unit, SCOPE) == 1
        after = rows.row(place.all(f"SELECT {rows.select} FROM things")[0])  # type: ignore[arg-type]
    assert after[field] == expected


def test_halves_are_rounded_away_from_zero_on_both_sides(place: Place) -> None:
    half = p.binary(
        "*",
        p.Column("price", p.MONEY),
        p.Constant(Decimal("0.5"), p.DecimalType(2, 1)),
        p.DecimalType(12, 3),
    )
    with place.unit() as unit:
        for price, expected in (("0.01", "0.01"), ("-0.01", "-0.01"), ("0.03", "0.02")):
            stored(unit, {"size": 1, "tag": "a", "price": Decimal(price)})
            Writer(place.program, "Thing").update(p.TRUE, [("price", half)])(unit, {})
            assert place.all("SELECT price FROM things") == [(place.decimal(expected),)]


@pytest.mark.parametrize("whole", [p.Column("count", p.INT), p.Column("size", p.INT)])
def test_a_number_is_not_brought_to_the_scale_of_the_column_it_is_taken_instead_of(
    place: Place, whole: Expr
) -> None:
    """0.26 beside a whole number stayed 0.26 on SQLite, where a price is whole cents."""
    other = p.Constant(Decimal("0.26"), MONEY4)
    nothing = p.binary("==", whole, p.Constant(1, p.INT), p.BOOL)
    taken = (
        p.binary("??", p.Column("count", p.INT), other, MONEY4),
        Choose(condition=nothing, then=whole, otherwise=other, type=MONEY4),
    )
    for expr in taken:
        with place.unit() as unit:
            stored(unit, {"size": 2, "tag": "a"})
            Writer(place.program, "Thing").update(p.TRUE, [("price", expr)])(unit, {})
            assert place.all("SELECT price FROM things") == [(place.decimal("0.26"),)]
