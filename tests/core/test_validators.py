"""Several validators on one listener: who is let in, as what, and which refusal is told."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.core.clock import Clock
from backstay.core.errors import Fault
from backstay.core.jwk import ALGORITHMS, read_set
from backstay.core.jwks import issuer_keys
from backstay.core.settings import Secret
from backstay.core.tokens import ByAlgorithm, Issuer, SharedSecret
from backstay.core.validators import FirstOf, Jwt, Static, Validator
from backstay.core.virtual import VirtualClock

ONE, OTHER = Secret("a-shared-secret-of-32-characters!"), Secret("another-secret-of-32-characters!")
CLOCK = VirtualClock()


def producer(clock: Clock = CLOCK) -> Jwt:
    return Jwt(SharedSecret(ONE), "identity", "codeq", clock, kind="producer")


def worker(clock: Clock = CLOCK) -> Jwt:
    return Jwt(SharedSecret(OTHER), "workers", "codeq-worker", clock, kind="worker")


def minted(secret: Secret, issuer: str, audience: str, **how: object) -> str:
    return Issuer(secret, issuer, audience, CLOCK).mint("x", **how)  # type: ignore[arg-type]


async def refused(validator: Validator, token: str) -> Fault:
    with pytest.raises(Fault) as caught:
        await validator.validate(token)
    return caught.value


async def test_each_validator_knows_its_own_and_says_what_they_are():
    both = FirstOf([producer(), worker()])
    assert (await both.validate(minted(ONE, "identity", "codeq"))).kind == "producer"
    # What a token says of itself does not count where the issuer decides it.
    token = minted(OTHER, "workers", "codeq-worker", kind="producer")
    assert (await both.validate(token)).kind == "worker"


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (minted(OTHER, "workers", "codeq-worker", ttl=-3600), "AUTH002"),
        (minted(OTHER, "strangers", "codeq-worker"), "AUTH003"),
        (minted(ONE, "identity", "elsewhere"), "AUTH004"),
        (minted(Secret("c" * 32), "identity", "codeq"), "AUTH001"),
        ("nonsense", "AUTH001"),
        ("", "AUTH001"),
    ],
)
async def test_of_all_refusals_the_most_telling_is_given(token, code):
    static = Static({Secret("dev-token"): {"sub": "dev"}})
    for order in ([static, producer(), worker()], [worker(), producer(), static]):
        assert (await refused(FirstOf(order), token)).entry.code == code


async def test_a_judge_that_cannot_work_is_told_before_a_signature_that_does_not_fit():
    # Nobody listens on port 1: the keys cannot be had, and the token may be a good one.
    away = Jwt(issuer_keys(ONE, "http://127.0.0.1:1/jwks", CLOCK), "identity", "codeq", CLOCK)
    token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.AAAA"
    assert (await refused(FirstOf([away, worker()]), token)).entry.code == "AUTH009"
    assert (await refused(FirstOf([worker(), away]), token)).entry.code == "AUTH009"


async def test_static_tokens_carry_the_claims_of_their_bearer():
    static = Static(
        {
            Secret("dev-token"): {"sub": "dev", "roles": ["ADMIN"], "tenantId": "acme"},
            Secret("other"): {"sub": "w", "scope": "codeq:claim", "eventTypes": ["*"]},
            Secret(""): {"sub": "nobody"},
        },
        kind="worker",
    )
    dev = await static.validate("dev-token")
    assert (dev.sub, dev.tenant, dev.roles, dev.kind) == ("dev", "acme", {"ADMIN"}, "worker")
    assert (await static.validate("other")).may("codeq:claim")
    for wrong in ("", "dev-toke", "dev-token ", "\ud800"):
        assert (await refused(static, wrong)).entry.code == "AUTH001"


def test_nobody_is_no_validator():
    with pytest.raises(ValueError, match="needs a validator"):
        FirstOf([])


async def test_each_algorithm_has_its_own_keys():
    keys = issuer_keys(Secret(""), "http://127.0.0.1:1/jwks", CLOCK)
    assert keys.algorithms == ("HS256", *ALGORITHMS)
    judge = Jwt(keys, "identity", "codeq", CLOCK)
    assert (await refused(judge, minted(ONE, "identity", "codeq"))).entry.code == "AUTH008"
    with pytest.raises(ValueError, match="HS256"):
        ByAlgorithm([SharedSecret(ONE), SharedSecret(OTHER)])


@pytest.mark.parametrize(("late", "accepted"), [(0, True), (60, True), (61, False)])
async def test_the_skew_is_allowed_to_the_second_on_both_sides(late, accepted):
    clock = VirtualClock()
    now = int(clock.now())
    issuer = Issuer(ONE, "identity", "codeq", clock)
    tokens = [
        issuer.mint("x", ttl=-late),
        issuer.mint("x", claims={"nbf": now + late}),
    ]
    clock_of_issuer = VirtualClock(clock.now() + late)
    tokens.append(Issuer(ONE, "identity", "codeq", clock_of_issuer).mint("x"))
    for token in tokens:
        if accepted:
            assert (await producer(clock).validate(token)).sub == "x"
        else:
            assert (await refused(producer(clock), token)).entry.code in ("AUTH001", "AUTH002")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["keys", "kty", "kid", "n", "e", "crv", "x", "y", "use", "key_ops"]),
            inner | st.sampled_from(["RSA", "EC", "P-256", "AQAB", "sig", "verify"]),
            max_size=7,
        )
    ),
    max_leaves=25,
)


@given(st.binary(max_size=60) | JSON.map(msgspec.json.encode))
def test_any_published_text_is_a_set_or_refused(body):
    try:
        keys = read_set(body)
    except ValueError:
        return
    for key in keys:
        assert [key.fits(algorithm) for algorithm in ALGORITHMS] == [False] * 3


@given(st.lists(JSON, max_size=4))
def test_any_published_keys_are_usable_or_left_out(given_keys):
    for key in read_set(msgspec.json.encode({"keys": given_keys})):
        assert not any(key.fits(algorithm) for algorithm in ALGORITHMS)


async def test_a_judge_that_never_saw_the_key_says_less_than_one_that_found_the_signature_wrong():
    static = Static({Secret("dev-token"): {"sub": "dev"}})
    knows = Jwt(SharedSecret(ONE), "identity", "codeq", CLOCK, blame_bearer=True)
    keys = issuer_keys(Secret(""), "http://127.0.0.1:9/", CLOCK)
    strange = Jwt(keys, "w", "w", CLOCK)
    blames = Jwt(keys, "w", "w", CLOCK, blame_bearer=True)
    token = minted(Secret("c" * 32), "identity", "codeq")
    for order in ([knows, static], [static, knows], [knows, strange, static], [blames, knows]):
        refusal = await refused(FirstOf(order), token)
        assert refusal.values == {"reason": "invalid signature"}
