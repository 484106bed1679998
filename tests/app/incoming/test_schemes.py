"""Each sender's own way to sign, by the vectors that it publishes, and everything that is forged."""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Callable

import pytest

from backstay.app.incoming.schemes import SCHEMES, Refused
from backstay.core.signing import sign

NOW = 1_700_000_000.0
BODY = b'{"id":"evt_1","amount":5}'
SECRET = "the shared secret"


def hexed(text: bytes) -> str:
    return hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()


def headers_of(scheme: str, at: float = NOW, body: bytes = BODY) -> dict[str, str]:
    stamp = str(int(at))
    match scheme:
        case "backstay":
            return {
                "x-backstay-timestamp": stamp,
                "x-backstay-signature": sign(SECRET, stamp, body),
                "x-backstay-delivery": "d1",
            }
        case "github":
            return {"x-hub-signature-256": f"sha256={hexed(body)}", "x-github-delivery": "d1"}
        case "stripe":
            return {"stripe-signature": f"t={stamp},v1=00,v1={hexed(stamp.encode() + b'.' + body)}"}
    text = f"d1.{stamp}.".encode() + body
    signed = b64encode(hmac.new(SECRET.encode(), text, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": "d1",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1a,xx v1,{signed}",
    }


ALL = sorted(SCHEMES)
TIMED = [name for name in ALL if name != "github"]


@pytest.mark.parametrize("scheme", ALL)
def test_what_is_signed_is_taken_with_its_id_and_its_signature(scheme: str) -> None:
    delivery, signature = SCHEMES[scheme](SECRET, headers_of(scheme), BODY, NOW + 10)
    assert delivery == ("id:evt_1" if scheme == "stripe" else "id:d1")
    assert signature.startswith("sig:")


Forge = Callable[[dict[str, str]], tuple[str, dict[str, str], bytes]]


@pytest.mark.parametrize("scheme", ALL)
@pytest.mark.parametrize(
    "forge",
    [
        lambda given: ("another secret", given, BODY),
        lambda given: (SECRET, given, BODY + b" "),
        lambda given: (SECRET, {}, BODY),
        lambda given: (SECRET, dict.fromkeys(given, ""), BODY),
        lambda given: (SECRET, dict.fromkeys(given, "ÿ"), BODY),
        lambda given: (SECRET, dict.fromkeys(given, "x" * 5000), BODY),
        lambda given: (SECRET, dict.fromkeys(given, "t=,v1="), BODY),
    ],
    ids=["secret", "body", "none", "empty", "not-ascii", "long", "nonsense"],
)
def test_what_is_forged_is_refused(scheme: str, forge: Forge) -> None:
    secret, headers, body = forge(headers_of(scheme))
    with pytest.raises(Refused):
        SCHEMES[scheme](secret, headers, body, NOW)


@pytest.mark.parametrize("scheme", TIMED)
@pytest.mark.parametrize("later", [301.0, -301.0])
def test_what_was_signed_long_ago_is_refused(scheme: str, later: float) -> None:
    with pytest.raises(Refused, match="300 s"):
        SCHEMES[scheme](SECRET, headers_of(scheme), BODY, NOW + later)


def test_githubs_published_example() -> None:
    """docs.github.com, "Validating webhook deliveries"."""
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    headers = {"x-hub-signature-256": signature, "x-github-delivery": "d"}
    marks = SCHEMES["github"]("It's a Secret to Everybody", headers, b"Hello, World!", NOW)
    assert marks[0] == "id:d"


def test_standard_webhooks_published_example() -> None:
    """github.com/standard-webhooks, the vector of its reference libraries."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    marks = SCHEMES["standard"](secret, headers, b'{"test": 2432232314}', 1614265330.0)
    assert marks[0] == "id:msg_p5jXN8AQM9LWM0D4loKWxJek"
