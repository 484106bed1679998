"""Bodies: the fast pass never says anything that the slow one would not, and nothing is a 500."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.app import programs as p
from tests.app.serving import served
from tests.app.support import NewDatabase

from backstay.app.plan.bodies import Body
from backstay.app.plan.checks import member_shape, read_json
from backstay.core.errors import Fault

KEY = "00000000-0000-7000-8000-0000000000A1"
INNER = p.RecordType(
    (
        p.Field("product", p.RefType("Product"), required=True),
        p.Field("quantity", p.INT, required=True, minimum=Decimal(1), maximum=Decimal(9)),
        p.Field("note", p.STRING, maximum=Decimal(5)),
    )
)
RECORD = p.RecordType(
    (
        p.Field("price", p.MONEY, required=True, minimum=Decimal(0)),
        p.Field("weight", p.FLOAT),
        p.Field("done", p.BOOL, default=p.Constant(False, p.BOOL)),
        p.Field("at", p.STAMP),
        p.Field("on", p.DATE),
        p.Field("for", p.DURATION),
        p.Field("status", p.STATUS),
        p.Field("free", p.JSON),
        p.Field("lines", p.ListType(INNER), required=True, maximum=Decimal(2)),
        p.Field("names", p.ListType(p.STRING)),
    )
)
PROGRAM = p.orders()
BODY = Body(PROGRAM, RECORD)
SLOW = member_shape(PROGRAM, RECORD)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 12)
    | st.floats(-3, 3, allow_nan=False)
    | st.sampled_from(
        [
            "",
            "1.50",
            "-1",
            "1e3",
            "1.505",
            "paid",
            KEY,
            "2026-03-01",
            "2026-03-01T12:00:00Z",
            "2026-13-01",
            "1m30s",
            "long text",
            "\x00",
            "é",
            10**30,
            1.0,
            2.25,
        ]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["product", "quantity", "note", "x", 'a":"b']), inner, max_size=3
        )
    ),
    max_leaves=5,
)
LINE = st.fixed_dictionaries(
    {"product": st.just(KEY) | SCALARS, "quantity": st.integers(0, 10) | SCALARS},
    optional={"note": st.just("abc") | SCALARS, "x": SCALARS},
)
BODIES = (
    st.fixed_dictionaries(
        {
            "price": st.sampled_from(["1.50", 2, 0]) | SCALARS,
            "lines": st.lists(LINE, max_size=3) | VALUES,
        },
        optional={
            "weight": st.sampled_from([1, 1.5]) | SCALARS,
            "done": st.booleans() | SCALARS,
            "at": st.just("2026-03-01T12:00:00Z") | SCALARS,
            "on": st.just("2026-03-01") | SCALARS,
            "for": st.just("1m30s") | SCALARS,
            "status": st.just("paid") | SCALARS,
            "free": VALUES,
            "names": st.lists(st.sampled_from(["a", "b"])) | VALUES,
            "colour": SCALARS,
        },
    )
    | VALUES
)


def fast(raw: bytes) -> object:
    try:
        return BODY.decode(raw)
    except Fault as fault:
        return fault.values


def slow(raw: bytes) -> object:
    mistakes: list[object] = []
    try:
        found = SLOW(read_json(raw), "", mistakes)  # type: ignore[arg-type]
    except Fault as fault:
        return fault.values
    if not mistakes:
        return found
    return BODY._slowly  # a marker: the same code path refuses


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(value=BODIES, indent=st.none() | st.just(1))
def test_both_passes_say_the_same(value: object, indent: int | None) -> None:
    raw = json.dumps(value, indent=indent).encode()
    expected = slow(raw)
    got = fast(raw)
    if expected == BODY._slowly:
        assert isinstance(got, dict) and got.get("errors"), (raw, got)  # noqa: PT018
    else:
        assert got == expected, raw


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b'{"price": "1", "price": "2", "lines": []}', "price"),
        (b'{"price" : "1", "lines": [], "price"\n: "2"}', "price"),
        (b'{"price": "1", "lines": [], "free": {"a": {"b": 1, "b": 2}}}', "free.a.b"),
        (
            b'{"price": "1", "lines": [{"product": "'
            + KEY.encode()
            + b'", "quantity": 1, "quantity": 2}]}',
            "lines[0].quantity",
        ),
    ],
)
def test_a_name_that_comes_twice_is_refused_wherever_it_is(raw: bytes, field: str) -> None:
    with pytest.raises(Fault) as caught:
        BODY.decode(raw)
    assert {"field": field, "message": "is given twice"} in caught.value.values["errors"]  # type: ignore[operator]


def test_a_good_body_becomes_python_values() -> None:
    raw = json.dumps(
        {
            "price": "12.5",
            "weight": 1,
            "at": "2026-03-01T13:00:00+01:00",
            "for": "1m30s",
            "free": {"a": [1, 2.5, 'q":']},
            "lines": [{"product": KEY, "quantity": 2}],
        }
    ).encode()
    assert BODY.decode(raw) == {
        "price": Decimal("12.50"),
        "weight": 1.0,
        "at": 1_772_366_400_000_000,
        "for": 90.0,
        "free": {"a": [1, 2.5, 'q":']},
        "lines": [{"product": KEY.lower(), "quantity": 2}],
    }


def test_an_exact_number_stays_exact() -> None:
    found = BODY.decode(b'{"price": 1234567.89, "lines": []}')
    assert found["price"] == Decimal("1234567.89")
    with pytest.raises(Fault, match="at most 2 digits after the point"):
        BODY.decode(b'{"price": 0.001, "lines": []}')


RAW = st.binary(max_size=60) | BODIES.map(lambda value: json.dumps(value).encode())
PATHS = st.sampled_from(
    ["/orders", "/products", "/customers", f"/orders/{KEY}", f"/orders/{KEY}/refund"]
)
QUERIES = st.text(alphabet="abcdefgilmnorstu=&[]%0123456789-,._é ", max_size=25)


async def test_no_request_whatever_its_bytes_is_a_500(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    async with served(p.orders(), tmp_path, database=new_database()) as app:
        sent = []

        @settings(
            max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(method=st.sampled_from(["GET", "POST", "PUT"]), path=PATHS, asked=QUERIES, raw=RAW)
        def collect(method: str, path: str, asked: str, raw: bytes) -> None:
            sent.append((method, f"{path}?{asked}" if asked else path, raw))

        collect()
        for method, path, raw in sent:
            answer = await app.ask(method, path, raw=raw)
            assert answer.status < 500, (method, path, raw, answer.body)
            if answer.status >= 400:
                assert answer["code"]


@pytest.mark.parametrize("depth", [70, 400, 900, 980, 5000])
def test_deep_free_form_json_is_refused_and_not_a_crash(depth: int) -> None:
    raw = b'{"price": "1", "lines": [], "free": ' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    with pytest.raises(Fault) as caught:
        BODY.decode(raw)
    assert caught.value.entry.status in (400, 422)


def test_a_flood_of_mistakes_is_answered_quickly_and_briefly() -> None:
    many = {f"field{number}": number for number in range(50_000)}
    with pytest.raises(Fault) as caught:
        BODY.decode(json.dumps(many).encode())
    assert len(caught.value.values["errors"]) <= 50  # type: ignore[arg-type]
