"""What an integration says about signing its calls and about their keys is what a service on a real
socket gets to see."""

import hashlib
import hmac

import pytest
from tests.app.outside.calling import CLOCK, Made, checked
from tests.app.outside.service import Service

from backstay.app.flow.integrations import check
from backstay.app.outside.sigv4 import Identity, signed
from backstay.core.clock import parse_rfc3339
from backstay.core.errors import Fault
from backstay.core.redact import redactor
from backstay.core.signing import verify
from backstay.lang.api import check_text

POST = 'operation tell { method: POST\n path: "/hook" }'
GET = 'operation get { method: GET\n path: "/things/{id}" }'
AWS = (
    'auth: aws_signature_v4 { access_key: env("USER"), secret_key: env("SECRET"),'
    ' region: "eu-central-1", service: "sqs" }\n'
)


def hexed(text: bytes) -> str:
    return hmac.new(b"secret of the hmac", text, hashlib.sha256).hexdigest()


async def test_a_body_is_signed_in_the_header_that_its_receiver_wants(
    calls: Made, service: Service
) -> None:
    said = 'signature: hmac { secret: env("SECRET"), header: "X-Shop-Sign", prefix: "sha256=" }\n'
    await calls(f'{said}auth: bearer(env("TOKEN"))\n{POST}')("tell", '{"n":1}')
    (seen,) = service.seen
    assert seen.headers["x-shop-sign"] == f"sha256={hexed(seen.body)}"
    assert seen.headers["authorization"] == "Bearer token-of-the-shop", "beside its credentials"
    assert "secret of the hmac" not in redactor().redact("it said: secret of the hmac")


async def test_a_signature_with_its_time_cannot_be_sent_again_later(
    calls: Made, service: Service
) -> None:
    said = 'signature: hmac { secret: env("SECRET"), timestamp: "X-Time" }\n'
    await calls(said + POST)("tell", '{"n":1}')
    (seen,) = service.seen
    stamp, signature = seen.headers["x-time"], seen.headers["x-signature"]
    assert verify("secret of the hmac", stamp, seen.body, signature, CLOCK.now())
    assert not verify("secret of the hmac", stamp, seen.body, signature, CLOCK.now() + 3600)


@pytest.mark.parametrize(
    ("operation", "payload"),
    [("get", '{"id":"a b/c!","q":"x y+z","e":"\u00e9"}'), ("tell", '{"n":1}')],
)
async def test_amazons_signature_fits_what_arrives(
    calls: Made, service: Service, operation: str, payload: str
) -> None:
    """Computed anew from the request as it came in over the socket."""
    outcome = await calls(AWS + GET + "\n" + POST)(operation, payload)
    assert outcome.kind == "done"
    (seen,) = service.seen
    stamp = seen.headers["x-amz-date"]
    at = parse_rfc3339(
        f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:11]}:{stamp[11:13]}:{stamp[13:15]}.000000Z"
    )
    kept = {k: v for k, v in seen.headers.items() if k == "content-type"}
    who = Identity("ada", "secret of the hmac", "eu-central-1", "sqs")
    host = f"http://{seen.headers['host']}"
    _, expected = signed(who, seen.method, host + seen.target, kept, seen.body, at)
    assert seen.headers["authorization"] == expected["Authorization"]
    assert "+" not in seen.target.partition("?")[2], (
        "a space that is sent as a plus is a plus there"
    )
    assert seen.headers["idempotency-key"] == "e/s"


async def test_the_key_of_a_call_stands_where_the_service_looks_for_it(
    calls: Made, service: Service
) -> None:
    own = 'operation own { method: POST\n path: "/own"\n idempotency: header("X-Once") }'
    call = calls(f'idempotency: header("X-Request-Id")\n{POST}\n{own}')
    await call("tell")
    await call("own")
    first, second = service.seen
    assert (first.headers["x-request-id"], second.headers["x-once"]) == ("e/s", "e/s")
    assert "idempotency-key" not in first.headers
    assert "x-request-id" not in second.headers


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ('signature: hmac { header: "X" }', "it has no secret"),
        ('signature: rsa { secret: env("S") }', "rsa is not supported yet"),
        ('signature: hmac { secret: env("S"), with: "X" }', "no use for 'with'"),
        ('idempotency: header("no header")', "does not name a header"),
        ("idempotency: required", "does not name a header"),
        ('auth: aws_signature_v4 { access_key: env("A") }', "it has no secret_key"),
    ],
)
def test_what_could_never_be_sent_is_refused_at_the_load(members: str, said: str) -> None:
    with pytest.raises(Fault, match=said):
        check(checked(f"{members}\n{POST}"))


@pytest.mark.parametrize(
    "members",
    [
        'signature: hmac { secret: "written out" }',
        'auth: aws_signature_v4 { access_key: env("A"), secret_key: "written out" }',
    ],
)
def test_who_writes_a_secret_out_is_warned(members: str) -> None:
    text = f'integration S {{ type: rest\n base_url: env("URL")\n {members}\n {POST} }}'
    _, found = check_text("app.cai", text)
    assert any(each.hint.startswith("write env(") for each in found), found
