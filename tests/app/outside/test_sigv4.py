"""Signature Version 4 against the vectors that AWS publishes (the signing test suite), and against
what a service on a real socket gets to see."""

import hashlib

import pytest

from backstay.app.outside.sigv4 import Identity, signed

WHO = Identity("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "service")
AT = 1440938160.0
"""2015-08-30T12:36:00Z"""

HOST = "https://example.amazonaws.com"
FORM = "application/x-www-form-urlencoded"
LETTERS = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("method", "url", "headers", "body", "signature"),
    [
        ("GET", "/", {}, b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        (
            "GET",
            "/",
            {"My-Header1": "value4,value1,value3,value2"},
            b"",
            "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
        ),
        (
            "GET",
            f"/{LETTERS}",
            {},
            b"",
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        ),
        (
            "GET",
            "/?Param1=value1",
            {},
            b"",
            "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
        ),
        (
            "GET",
            "/?Param2=value2&Param1=value1",
            {},
            b"",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "GET",
            f"/?{LETTERS}={LETTERS}",
            {},
            b"",
            "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
        ),
        (
            "GET",
            "/?\u1234=bar",
            {},
            b"",
            "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
        ),
        ("POST", "/", {}, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "POST",
            "/",
            {"My-Header1": "VALUE1"},
            b"",
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        ),
        (
            "POST",
            "/?p=",
            {},
            b"",
            "e71688addb58a26418614085fb730ba3faa623b461c17f48f2fbdb9361b94a9b",
        ),
        (
            "POST",
            "/",
            {"Content-Type": FORM},
            b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
)
def test_published_vectors(
    method: str, url: str, headers: dict[str, str], body: bytes, signature: str
) -> None:
    _, more = signed(WHO, method, HOST + url, headers, body, AT)
    names = ";".join(sorted({"host", "x-amz-date", *(name.lower() for name in headers)}))
    assert more == {
        "X-Amz-Date": "20150830T123600Z",
        "Authorization": "AWS4-HMAC-SHA256"
        " Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request,"
        f" SignedHeaders={names}, Signature={signature}",
    }


def test_a_space_is_sent_as_it_was_signed() -> None:
    """A plus would be a plus to the service."""
    url, _ = signed(WHO, "GET", f"{HOST}/?b=a+b&a=%2B", {}, b"", AT)
    assert url == f"{HOST}/?a=%2B&b=a%20b"


def test_s3_is_told_what_the_body_is_and_its_keys_are_encoded_once() -> None:
    who = Identity("A", "B", "eu-central-1", "s3", session_token="of a session")
    _, more = signed(who, "PUT", f"{HOST}/a%20b%2Fc", {}, b"body", AT)
    assert more["X-Amz-Content-Sha256"] == hashlib.sha256(b"body").hexdigest()
    assert more["X-Amz-Security-Token"] == "of a session"
    names = "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token"
    assert names in more["Authorization"]
