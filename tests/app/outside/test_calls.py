"""What an integration declares is what is sent, over real HTTP: credentials, query, body, headers,
rate, fallback, kept answers; and which errors it can be told."""

import base64

import pytest
from tests.app.outside.calling import CLOCK, Made
from tests.app.outside.service import Seen, Service, Told

from backstay.app.flow.model import Outcome
from backstay.app.outside.answers import retry_after
from backstay.core.errors import Fault
from backstay.core.redact import redactor
from backstay.core.signing import verify

GET = 'operation get { method: GET\n path: "/things/{id}" }'


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ('auth: bearer(env("TOKEN"))', "authorization", "Bearer token-of-the-shop"),
        ('auth: bearer { token: env("TOKEN") }', "authorization", "Bearer token-of-the-shop"),
        ('auth: basic(env("USER"), env("PASSWORD"))', "authorization", basic("ada:correct horse")),
        (
            'auth: basic { username: env("USER"), password: env("PASSWORD") }',
            "authorization",
            basic("ada:correct horse"),
        ),
        ('auth: api_key(env("KEY"))', "x-api-key", "key-of-the-shop"),
        ('auth: api_key(env("KEY"), "X-Shop")', "x-shop", "key-of-the-shop"),
        ('auth: apikey { header: "X-Shop", value: env("KEY") }', "x-shop", "key-of-the-shop"),
        ("", "authorization", None),
    ],
)
async def test_credentials_stand_in_a_header(
    calls: Made, service: Service, auth: str, header: str, value: str | None
) -> None:
    outcome = await calls(f"{auth}\n{GET}")("get", '{"id":"a/b","q":1}')
    assert outcome == Outcome("done", output='{"ok":true}')
    (seen,) = service.seen
    assert seen.headers.get(header) == value
    assert (seen.path, seen.query) == ("/things/a%2Fb", {"q": ["1"]})
    assert seen.headers["idempotency-key"] == "e/s"
    if value is not None:
        assert value.rpartition(" ")[2] not in redactor().redact(f"it said {value}")


@pytest.mark.parametrize("value", ["..", ".", ""])
async def test_a_value_that_would_lead_to_another_path_is_not_sent(
    calls: Made, service: Service, value: str
) -> None:
    """`..` for a part deleted the thing, with the shop's own credentials."""
    made = calls('operation drop { method: DELETE\n path: "/things/{id}/parts/{part}" }')
    outcome = await made("drop", f'{{"id":"1","part":"{value}"}}')
    assert (outcome.kind, outcome.final, service.seen) == ("failed", True, [])
    assert "S.drop: the value of part cannot stand in its path" in outcome.error
    assert all(breaker.state == "closed" for breaker in made.breakers.values())
    assert (await made("drop", '{"id":"1","part":"..a"}')).kind == "done"
    assert [seen.path for seen in service.seen] == ["/things/1/parts/..a"]


async def test_an_api_key_in_the_query(calls: Made, service: Service) -> None:
    await calls(f'auth: api_key {{ query: "key", value: env("KEY") }}\n{GET}')("get", '{"id":1}')
    assert service.seen[0].query == {"key": ["key-of-the-shop"]}


async def test_a_signed_call_can_be_verified_by_its_receiver(calls: Made, service: Service) -> None:
    post = 'operation tell { method: POST\n path: "/hook" }'
    await calls(f'auth: hmac {{ secret: env("SECRET") }}\n{post}')("tell", '{"n":1}')
    (seen,) = service.seen
    stamp, signature = seen.headers["x-backstay-timestamp"], seen.headers["x-backstay-signature"]
    assert verify("secret of the hmac", stamp, seen.body, signature, CLOCK.now())
    assert not verify("another", stamp, seen.body, signature, CLOCK.now())


OAUTH = (
    'auth: oauth2 { token_url: env("TOKEN_URL"), client_id: env("CLIENT"),'
    ' client_secret: env("CLIENT_SECRET"), scope: "read write" }\n'
)


async def test_client_credentials_are_fetched_once_kept_and_renewed_when_refused(
    calls: Made, service: Service
) -> None:
    valid = {"the-first-token"}

    def answers(seen: Seen) -> Told:
        if seen.path == "/token":
            asked = sum(each.path == "/token" for each in service.seen)
            name = "the-first-token" if asked == 1 else "the-second-token"
            return 200, {}, f'{{"access_token":"{name}","expires_in":3600}}'.encode()
        fine = seen.headers["authorization"].removeprefix("Bearer ") in valid
        return (200, {}, b"{}") if fine else (401, {}, b"")

    service.answers = answers
    call = calls(OAUTH + GET)
    for _ in range(3):
        assert (await call("get", '{"id":1}')).kind == "done"
    tokens = [seen for seen in service.seen if seen.path == "/token"]
    assert len(tokens) == 1
    # RFC 6749, 2.3.1: both are form-encoded before they become Basic.
    assert tokens[0].headers["authorization"] == basic("shop+client:shop%3Asecret")
    assert tokens[0].body == b"grant_type=client_credentials&scope=read+write"
    valid.clear()
    valid.add("the-second-token")
    assert (await call("get", '{"id":1}')).kind == "done"
    assert sum(seen.path == "/token" for seen in service.seen) == 2
    # One that stays refused is asked for once more and no further.
    valid.clear()
    refused = await call("get", '{"id":1}')
    assert (refused.kind, refused.final) == ("failed", True)


async def test_without_a_token_the_service_is_not_called(calls: Made, service: Service) -> None:
    service.answers = lambda _: (403, {}, b"shop:secret")
    outcome = await calls(OAUTH + GET)("get", '{"id":1}')
    assert outcome.kind == "failed"
    assert "answered 403 when it was asked for a token" in outcome.error
    assert "shop:secret" not in outcome.error
    assert [seen.path for seen in service.seen] == ["/token"]


async def test_query_body_and_headers_are_where_the_operation_has_them(
    calls: Made, service: Service
) -> None:
    members = """headers { "X-Shop": "tents", "X-Both": "integration" }
    operation put { method: PUT
      path: "/things/{id}"
      query { dry: bool, page: int }
      body { amount: int }
      headers { "X-Both": "operation" }
    }"""
    await calls(members)("put", '{"id":"7","dry":true,"page":null,"amount":5}')
    (seen,) = service.seen
    assert (seen.method, seen.path, seen.query) == ("PUT", "/things/7", {"dry": ["true"]})
    assert seen.json == {"amount": 5}
    assert (seen.headers["x-shop"], seen.headers["x-both"]) == ("tents", "operation")


async def test_answers_of_reads_are_kept_for_their_time_and_each_by_its_arguments(
    calls: Made, service: Service
) -> None:
    call = calls("default_cache_ttl: 5m\n" + GET + 'operation put { method: PUT\n path: "/p" }')
    for _ in range(3):
        assert (await call("get", '{"id":1}')).output == '{"ok":true}'
    assert len(service.seen) == 1
    await call("get", '{"id":2}')
    await call("put")
    await call("put")
    assert len(service.seen) == 4
    service.answers = lambda _: (404, {}, b"gone")
    assert (await call("get", '{"id":3}')).kind == "failed"
    assert (await call("get", '{"id":3}')).kind == "failed"
    assert len(service.seen) == 6


RETURNS = """operation charge { method: POST
  path: "/charges"
  returns: { id: string, required, paid: bool, required, lines: list({ amount: int, required }) }
}"""


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (b'{"id":"c1","paid":true,"lines":[{"amount":5,"new":1}],"more":{"a":1}}', "done", ""),
        (b'{"id":"c1","paid":true}', "done", ""),
        (b'{"id":"c1","paid":"yes"}', "unknown", "paid"),
        (b'{"paid":true}', "unknown", "id"),
        (b'{"id":"c1","paid":true,"lines":[{"amount":"5"}]}', "unknown", "amount"),
        (b'"fine"', "unknown", "expected an object"),
        (b"<html>", "unknown", "expected an object"),
        (b"", "unknown", "expected an object"),
    ],
)
async def test_a_service_that_lies_is_not_believed(
    calls: Made, service: Service, answer: bytes, kind: str, says: str
) -> None:
    """The call was made, so its effect is unknown and will be undone."""
    service.answers = lambda _: (200, {}, answer)
    outcome = await calls(RETURNS)("charge")
    assert (outcome.kind, outcome.final) == (kind, False)
    assert says in outcome.error


async def test_calls_over_the_rate_come_back_later_and_do_not_reach_the_service(
    calls: Made, service: Service
) -> None:
    call = calls("rate_limit: 3 per 1h\n" + GET)
    outcomes = [await call("get", '{"id":1}') for _ in range(5)]
    assert [each.kind for each in outcomes] == ["done"] * 3 + ["failed"] * 2
    assert outcomes[-1].refused
    assert 1100 < outcomes[-1].retry_after <= 1200
    assert len(service.seen) == 3
    assert call.breakers["integration:S"].state == "closed"


BREAKER = "circuit_breaker { threshold: 2 failures in 1m, reset_after: 1h }\n"


async def test_failures_within_the_window_open_the_breaker_though_others_work_between(
    calls: Made, service: Service
) -> None:
    call = calls(BREAKER + GET)
    service.answers = lambda seen: (500 if seen.path.endswith("bad") else 200, {}, b"")
    await call("get", '{"id":"bad"}')
    assert (await call("get", '{"id":"good"}')).kind == "done"
    await call("get", '{"id":"bad"}')
    assert call.breakers["integration:S"].state == "open"


@pytest.mark.parametrize(
    ("fallback", "expected"),
    [
        (
            'fallback: reject("closed for repairs")\n',
            ("failed", True, "closed for repairs (circuit"),
        ),
        ("fallback: skip\n", ("done", False, "")),
        ("", ("failed", False, "circuit breaker is open")),
    ],
)
async def test_what_a_call_gives_that_the_breaker_does_not_let_out(
    calls: Made, service: Service, fallback: str, expected: tuple[str, bool, str]
) -> None:
    call = calls(fallback + BREAKER + GET)
    service.answers = lambda _: (500, {}, b"")
    for _ in range(2):
        # A call that was made is never answered by the fallback: it may have had an effect.
        assert (await call("get", '{"id":1}')).kind == "unknown"
    outcome = await call("get", '{"id":1}')
    assert (outcome.kind, outcome.final) == expected[:2]
    assert outcome.error.startswith(expected[2])
    assert len(service.seen) == 2


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ('auth: basic { username: env("USER") }\n' + GET, "it has no password"),
        ('auth: oauth2 { token_url: env("TOKEN_URL") }\n' + GET, "it has no client_id"),
        ('auth: hmac { secret: env("SECRET"), salt: "a" }\n' + GET, "no use for 'salt'"),
        (
            'operation put { method: PUT\n path: "/p"\n cache: 5m }',
            "the answer of a PUT is not kept",
        ),
        ("fallback: emit(x)\n" + GET, "'emit' is nothing that a call can give"),
    ],
)
async def test_what_could_never_work_is_refused_before_anything_is_called(
    calls: Made, members: str, says: str
) -> None:
    with pytest.raises(Fault, match=says) as refused:
        calls(members)
    assert refused.value.entry.code == "APP005"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("", 0.0),
        ("soon", 0.0),
        ("-3", 0.0),
        ("Wed, 21 Oct 2015 07:28:10 GMT", 10.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
    ],
)
def test_retry_after_in_both_forms(text: str, seconds: float) -> None:
    assert retry_after(text, 1445412480.0) == seconds
