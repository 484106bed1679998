"""No secret leaves, registered or merely secret-looking; ordinary text is left alone."""

import base64
import json
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.core.redact import MASK, MIN_LENGTH, Redactor

secrets = st.text(
    st.characters(exclude_categories=("Cs",)), min_size=MIN_LENGTH, max_size=40
).filter(lambda text: MASK not in text and text not in MASK)
around = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)

ENCODINGS = {
    "plain": str,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "url": lambda text: quote(text, safe=""),
    "url path": quote,
    "form": quote_plus,
    "json": lambda text: json.dumps(text)[1:-1],
    "json utf-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(secret=secrets, before=around, after=around)
def test_no_registered_secret_survives(encoding, secret, before, after):
    encoded = ENCODINGS[encoding](secret)
    redactor = Redactor()
    redactor.learn(secret)
    # Where the words around would spell the secret again with the mask, there is no secret left.
    shown = redactor.redact(f"{before} {encoded} {after}")
    assert encoded not in shown.replace(MASK, "\0")


@given(user=st.text(st.characters(codec="ascii"), max_size=12), secret=secrets)
def test_a_secret_inside_basic_credentials_is_masked(user, secret):
    redactor = Redactor()
    redactor.learn(secret)
    pair = base64.b64encode(f"{user}:{secret}".encode()).decode()
    shown = redactor.redact(f"sent {pair} to the server")
    assert pair not in shown


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Authorization: Bearer abcdef123456", "abcdef123456"),
        ('{"authorization": "Basic dXNlcjpwYXNz"}', "dXNlcjpwYXNz"),
        ("Cookie: session=abc123; theme=dark", "abc123"),
        ("GET /api/v1/bsk_0123456789abcdefghijKLMNOP", "efghij"),
        ("postgres://app:hunter22@db:5432/shop", "hunter22"),
        ("redis://:pa55word@cache:6379", "pa55word"),
        ("JWT_SECRET=swordfish", "swordfish"),
        ('{"dbPassword": "a \\"b c", "port": 1}', "b c"),
        ("{'api_key': 'k-123'}", "k-123"),
        ('"{\\"clientSecret\\": \\"deep\\"}"', "deep"),
        ("GET /x?token=abc.def&page=2", "abc.def"),
        ("it was eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln here", "eyJzdWIiOiJ4In0"),
        ("-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----", "MIIabc"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIabc cut off", "MIIabc"),
    ],
)
def test_what_looks_secret_is_masked_unregistered(text, hidden):
    shown = Redactor().redact(text)
    assert hidden not in shown
    assert MASK in shown


@pytest.mark.parametrize(
    "text",
    [
        "circuit breaker state changed from=closed to=open",
        "GET http://127.0.0.1:8080/health 200",
        "max_tokens=512 took 1.5ms",
        "missing authentication token",
        "/var/lib/secrets/app.db is locked",
    ],
)
def test_ordinary_text_is_left_alone(text):
    assert Redactor().redact(text) == text


def test_masking_keeps_what_helps():
    redactor = Redactor()
    assert redactor.redact("postgres://app:hunter22@db:5432/shop") == (
        f"postgres://app:{MASK}@db:5432/shop"
    )
    assert redactor.redact("GET /x?token=abc&page=2") == f"GET /x?token={MASK}&page=2"
    assert redactor.redact('{"password": "x", "port": 1}') == f'{{"password": "{MASK}", "port": 1}}'


def test_plain_values_are_masked_by_key_and_by_content():
    redactor = Redactor()
    redactor.learn("correct horse")
    assert redactor.redact_plain(
        {
            "db": {"password": 12345, "host": "db", "ok": True},
            "list": ["the correct horse", 7, None],
            "token": "",
            "max_tokens": 5,
        }
    ) == {
        "db": {"password": MASK, "host": "db", "ok": True},
        "list": [f"the {MASK}", 7, None],
        "token": "",
        "max_tokens": 5,
    }


def test_redacting_twice_changes_nothing():
    redactor = Redactor()
    once = redactor.redact("Authorization: Bearer abcdefgh12 password=x token: 'abc'")
    assert redactor.redact(once) == once


def test_a_tiny_secret_does_not_blank_the_text():
    redactor = Redactor()
    redactor.learn("a")
    assert redactor.redact("a banana") == "a banana"


HOSTILE = [
    "http://" + "a" * 50_000,
    "://" * 20_000,
    "://:" * 20_000,
    "token" * 10_000,
    "token=" * 10_000,
    'token="' * 10_000,
    'token=\\"' * 10_000,
    "token" + " " * 50_000,
    "_" * 50_000 + "token",
    "eyJ" + "a." * 20_000,
    "eyJaaaa-" * 8_000,
    "-----BEGIN A-----" * 3_000,
    "basic " * 10_000,
    "authorization:" * 5_000,
    "authorization: bearer " * 3_000,
    "cookie" * 10_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:20])
def test_no_text_from_outside_takes_long(text):
    redactor = Redactor()
    began = time.process_time()
    redactor.redact(text)
    assert time.process_time() - began < 0.5


PIECES = st.sampled_from(
    [
        "token",
        "Bearer ",
        "a-known-secret",
        "eyJhbGciOi.abc.def",
        "://u:p@h",
        "x",
        '"',
        " = ",
        "é",
        "K",
    ]
)


@given(st.dictionaries(st.text(max_size=8), st.lists(PIECES, max_size=4).map("".join), max_size=4))
def test_a_line_that_is_called_harmless_has_nothing_to_mask(event):
    known = Redactor()
    known.learn("a-known-secret")
    if known.harmless(json.dumps(event, ensure_ascii=False).encode()):
        assert known.redact_plain(event) == event


def test_lines_with_secrets_are_never_called_harmless():
    known = Redactor()
    known.learn("a-known-secret")
    for event in (
        {"path": "/a-known-secret"},
        {"dbPassword": "x"},
        {"x": "Authorization: Bearer abcdefgh12345678"},
        {"x": "eyJhbGciOiJIUzI1NiJ9.e30.abcd"},
        {"x": "postgres://u:p@host/db"},
        {"apiKey": 1},
    ):
        assert not known.harmless(json.dumps(event).encode())
    assert known.harmless(b'{"msg":"http request","path":"/v1/codeq/tasks","status":200}')
