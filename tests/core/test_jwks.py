"""Keys that somebody else publishes: fetched once for all, kept while they may be, never trusted
further than a public key goes (C7, Q34; decision 14). The issuer is a real HTTP server."""

import asyncio
import base64
import json
from collections.abc import Iterator

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from structlog.testing import capture_logs
from tests.servers.issuer import JwksIssuer
from tests.servers.oidc import CLIENT

from backstay.core.clock import SystemClock
from backstay.core.context import Principal
from backstay.core.errors import Fault
from backstay.core.jwks import Jwks
from backstay.core.trust import Trust
from backstay.core.validators import Jwt


class Ticks(SystemClock):
    """The machine's clocks, with a monotonic one that can be moved on."""

    ahead = 0.0

    def tick(self) -> float:
        return super().tick() + self.ahead


@pytest.fixture(scope="module")
def one_issuer() -> Iterator[JwksIssuer]:
    made = JwksIssuer()
    yield made
    made.stop()


@pytest.fixture
def issuer(one_issuer: JwksIssuer) -> Iterator[JwksIssuer]:
    one_issuer.rotate()
    one_issuer.asked = 0
    yield one_issuer
    one_issuer.lie = ""
    one_issuer.released.set()


@pytest.fixture
def clock() -> Ticks:
    return Ticks()


def jwt_of(issuer: JwksIssuer, clock: Ticks, **how) -> Jwt:
    keys = Jwks(issuer.jwks_url, clock, deadline=how.pop("deadline", 5.0))
    return Jwt(keys, issuer.name, issuer.audience, clock, **how)


@pytest.fixture
def judge(issuer: JwksIssuer, clock: Ticks) -> Jwt:
    return jwt_of(issuer, clock)


async def refused(judge: Jwt, token: str) -> Fault:
    with pytest.raises(Fault) as caught:
        await judge.validate(token)
    return caught.value


async def code(judge: Jwt, token: str) -> str:
    return (await refused(judge, token)).entry.code


async def settled() -> None:
    """Until the fetch that runs beside has ended."""
    for task in [task for task in asyncio.all_tasks() if task.get_name() == "jwks"]:
        await task


async def test_a_token_of_a_published_key_is_understood(issuer, judge):
    who = await judge.validate(issuer.mint(sub="w", tenantId="acme"))
    assert (who.sub, who.tenant, who.kind) == ("w", "acme", "user")
    assert who.claims["eventTypes"] == ["RENDER"]
    assert who.may("codeq:claim")


@pytest.mark.parametrize(
    ("kind", "algorithm"), [("RSA", "RS256"), ("RSA", "PS256"), ("EC", "ES256")]
)
async def test_the_three_algorithms(issuer, judge, kind, algorithm):
    issuer.add("another", kind)
    assert (await judge.validate(issuer.mint(algorithm=algorithm))).sub == "worker-1"


async def test_a_thousand_at_once_are_one_fetch(issuer, judge):
    tokens = [issuer.mint(sub=f"w{number}") for number in range(20)] * 50
    found = await asyncio.gather(*(judge.validate(token) for token in tokens))
    assert {who.sub for who in found} == {f"w{number}" for number in range(20)}
    assert issuer.asked == 1


async def test_who_goes_away_does_not_take_the_others_fetch_with_him(issuer, judge):
    issuer.lie = "slow"
    issuer.released.clear()
    leaving = asyncio.create_task(judge.validate(issuer.mint()))
    staying = asyncio.create_task(judge.validate(issuer.mint()))
    while not issuer.asked:
        await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    issuer.released.set()
    assert (await staying).sub == "worker-1"
    assert issuer.asked == 1


async def test_a_judgement_may_begin_outside_a_task(issuer, judge):
    """As the gateway does: the first step of the coroutine in a callback, the rest in a task."""
    trust = Trust.strict(judge)
    headers = {"authorization": f"Bearer {issuer.mint()}"}
    done: asyncio.Future[Principal] = asyncio.get_running_loop().create_future()

    def begin() -> None:
        verdict = trust.judge("10.0.0.9", "GET", headers)
        waits_for = verdict.send(None)

        async def rest() -> None:
            while not waits_for.done():
                await asyncio.sleep(0)
            try:
                verdict.send(None)
            except StopIteration as end:
                done.set_result(end.value)

        waits_for._asyncio_future_blocking = False
        tasks.append(asyncio.ensure_future(rest()))

    tasks: list[asyncio.Future[None]] = []
    asyncio.get_running_loop().call_soon(begin)
    assert (await asyncio.wait_for(done, 20)).sub == "worker-1"


async def test_a_wrong_signature_and_an_unknown_key_say_so_apart(issuer, judge, clock):
    issuer.add("secret-key", publish=False)
    forged = await refused(judge, issuer.mint("secret-key", named="key-of-nobody"))
    assert forged.entry.code == "AUTH006"
    assert forged.cause.startswith("unable to find key 'key-of-nobody'")
    signed_by_another = issuer.mint("secret-key", named=issuer.published[0]["kid"])
    wrong = await refused(judge, signed_by_another)
    assert (wrong.entry.code, wrong.message) == ("AUTH001", "invalid token")
    assert "invalid signature" in wrong.cause
    # Where the system asks for it, both are the bearer's fault (Q9).
    blaming = jwt_of(issuer, clock, blame_bearer=True)
    for token, says in ((signed_by_another, "invalid signature"), (issuer.mint("secret-key"), "")):
        fault = await refused(blaming, token)
        assert (fault.entry.code, fault.entry.status) == ("AUTH001", 401)
        assert (says or "unable to find key 'secret-key'") in fault.cause
    unsigned = issuer.mint(algorithm="RS512")
    assert (await refused(blaming, unsigned)).entry.status == 401
    assert (await refused(judge, unsigned)).entry.code == "AUTH007"


async def test_an_unknown_key_fetches_again_but_not_within_30_s(issuer, judge, clock):
    await judge.validate(issuer.mint())
    old = issuer.mint()
    kid = issuer.add("fresh")
    for _ in range(5):
        assert await code(judge, issuer.mint(kid)) == "AUTH006"
    assert issuer.asked == 1
    clock.ahead += 29
    assert await code(judge, issuer.mint(kid)) == "AUTH006"
    assert issuer.asked == 1
    clock.ahead += 2
    assert (await judge.validate(issuer.mint(kid))).sub == "worker-1"
    for number in range(5):
        assert await code(judge, issuer.mint(named=f"none-{number}")) == "AUTH006"
    assert issuer.asked == 2
    await judge.validate(old)


async def test_a_withdrawn_key_ends_its_tokens_those_known_too(issuer, judge, clock):
    token = issuer.mint()
    await judge.validate(token)
    issuer.rotate()
    clock.ahead += 301
    # Five minutes on: the set is fetched beside the request, which does not wait.
    await judge.validate(token)
    await settled()
    assert issuer.asked == 2
    assert await code(judge, token) == "AUTH006"
    await judge.validate(issuer.mint())


async def test_an_added_key_lets_the_known_tokens_be(issuer, clock):
    keys = Jwks(issuer.jwks_url, clock)
    judge = Jwt(keys, issuer.name, issuer.audience, clock)
    await judge.validate(issuer.mint())
    before = keys.version()
    issuer.add("second")
    clock.ahead += 301
    keys.version()
    await settled()
    assert issuer.asked == 2
    assert keys.version() == before


async def test_a_set_that_nobody_looked_at_for_long_is_not_believed_unseen(issuer, clock, judge):
    token, other = issuer.mint(), issuer.mint(sub="other")
    await judge.validate(token)
    issuer.rotate()
    clock.ahead += 3600
    assert await code(judge, other) == "AUTH006"


LIES = ["500", "huge", "broken", "no set", "html", "loop", "cut", "elsewhere"]


@pytest.mark.parametrize("lie", LIES)
async def test_no_lie_lets_anybody_in(issuer, judge, clock, lie):
    issuer.lie = lie
    issuer.elsewhere = f"http://localhost:{issuer.url.rsplit(':', 1)[1]}/jwks"
    with capture_logs() as lines:
        fault = await refused(judge, issuer.mint())
    assert (fault.entry.code, fault.message) == ("AUTH009", "failed to fetch JWKS")
    assert issuer.url not in str(fault.values)
    (line,) = [line for line in lines if line["event"] == "jwks fetch failed"]
    assert line["url"] == issuer.jwks_url
    # Nothing hammers it, and a second later it may have come to its senses.
    asked = issuer.asked
    assert await code(judge, issuer.mint()) == "AUTH009"
    assert issuer.asked == asked
    issuer.lie = ""
    clock.ahead += 1.1
    await judge.validate(issuer.mint())


async def test_an_empty_set_is_believed(issuer, judge):
    issuer.lie = "empty"
    assert await code(judge, issuer.mint()) == "AUTH006"


async def test_a_silent_issuer_costs_the_deadline_once(issuer, clock):
    issuer.lie = "slow"
    issuer.released.clear()
    judge = jwt_of(issuer, clock, deadline=0.2)
    faults = await asyncio.gather(*(refused(judge, issuer.mint()) for _ in range(50)))
    assert {fault.entry.code for fault in faults} == {"AUTH009"}
    assert issuer.asked == 1
    assert await code(judge, issuer.mint()) == "AUTH009"
    assert issuer.asked == 1


async def test_nobody_there_is_not_somebody_let_in(clock):
    gone = JwksIssuer()
    gone.stop()
    assert await code(jwt_of(gone, clock), gone.mint()) == "AUTH009"


async def test_old_keys_go_on_counting_for_four_hours_of_failures_and_no_longer(
    issuer, judge, clock
):
    token = issuer.mint()
    await judge.validate(token)
    issuer.lie = "500"
    clock.ahead += 301
    with capture_logs() as lines:
        await judge.validate(token)
        await settled()
    (line,) = [line for line in lines if line["event"] == "jwks fetch failed"]
    assert 14_000 < line["old_keys_count_for"] < 14_100
    clock.ahead += 14_000
    await judge.validate(issuer.mint(sub="late"))
    # What such a set does not have may be new: nobody can know.
    assert await code(judge, issuer.mint(named="unheard-of")) == "AUTH009"
    clock.ahead += 200
    assert await code(judge, token) == "AUTH009"
    issuer.lie = ""
    clock.ahead += 31
    await judge.validate(token)


async def test_a_redirect_within_the_host_is_followed(issuer, clock):
    keys = Jwks(f"{issuer.url}/moved", clock)
    await Jwt(keys, issuer.name, issuer.audience, clock).validate(issuer.mint())


async def test_without_a_kid_one_key_counts_and_two_do_not(issuer, judge, clock):
    issuer.add("ec", "EC")
    await judge.validate(issuer.mint("ec", algorithm="ES256", named=None))
    issuer.add("rsa-2")
    assert await code(jwt_of(issuer, clock), issuer.mint(named=None)) == "AUTH006"
    head = base64.urlsafe_b64encode(b'{"alg":"RS256","kid":7}').decode().rstrip("=")
    assert await code(judge, f"{head}.{issuer.mint().partition('.')[2]}") == "AUTH001"


async def test_two_keys_of_one_id_are_no_key(issuer, judge):
    issuer.add("twin")
    issuer.add("twin")
    assert await code(judge, issuer.mint("twin")) == "AUTH006"


async def test_a_published_secret_signs_nothing(issuer, judge, clock):
    issuer.publish_secret("oops", "a-shared-secret-of-32-characters!")
    claims = {"iss": issuer.name, "aud": issuer.audience, "exp": int(clock.now()) + 600}
    key = OctKey.import_key("a-shared-secret-of-32-characters!")
    forged = jwt.encode({"alg": "HS256", "kid": "oops"}, claims, key)
    assert await code(judge, forged) == "AUTH007"


async def test_the_public_key_is_no_secret_to_sign_with(issuer, judge, clock):
    kid = issuer.published[0]["kid"]
    claims = {"iss": issuer.name, "aud": issuer.audience, "exp": int(clock.now()) + 600}
    text = base64.b64encode(issuer.public_pem(kid)).decode()
    for secret in (text, json.dumps(issuer.published[0])):
        forged = jwt.encode({"alg": "HS256", "kid": kid}, claims, OctKey.import_key(secret))
        assert await code(judge, forged) == "AUTH007"


async def test_a_key_in_the_tokens_own_header_signs_nothing(issuer, judge):
    issuer.add("mine", publish=False)
    own = {
        name: value for name, value in issuer.private_members("mine").items() if name in "kty n e"
    }
    kid = issuer.published[0]["kid"]
    for header in ({"jwk": own}, {"jku": issuer.jwks_url}):
        forged = issuer.mint("mine", named=kid, header=header)
        assert await code(judge, forged) == "AUTH001"


@pytest.mark.parametrize(
    "spoilt",
    [
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"alg": "RS512"},
        {"kty": "EC"},
        {"kty": ["RSA"]},
        {"n": "AQAB"},
        {"n": 7},
        {"e": "AQ"},
        {"kid": 5},
    ],
)
async def test_a_key_that_is_not_for_this_is_no_key(issuer, judge, spoilt):
    issuer.published[0].update(spoilt)
    assert await code(judge, issuer.mint()) == "AUTH006"


async def test_a_key_published_with_its_private_part_is_everybodys_and_so_nobodys(issuer, judge):
    issuer.published[0] = issuer.private_members(issuer.published[0]["kid"])
    assert await code(judge, issuer.mint()) == "AUTH006"


@pytest.mark.peer
async def test_a_provider_of_somebody_else_is_understood(oidc_provider, clock):
    keys = Jwks(oidc_provider.jwks_url, clock)
    judge = Jwt(keys, oidc_provider.issuer, CLIENT, clock)
    token = oidc_provider.id_token("ada")
    assert (await judge.validate(token)).sub == "ada"
    assert await code(Jwt(keys, oidc_provider.issuer, "others", clock), token) == "AUTH004"
    assert await code(judge, f"{token[:-8]}AAAAAAAA") == "AUTH001"


@pytest.mark.filterwarnings("ignore:Key size")
async def test_a_weak_key_is_no_key(issuer, judge):
    weak = RSAKey.generate_key(1024)
    issuer.published.append({**weak.as_dict(private=False), "kid": "weak"})
    issuer._keys["weak"] = weak
    assert await code(judge, issuer.mint("weak")) == "AUTH006"


async def test_a_set_of_more_than_500_keys_is_refused(issuer, judge):
    issuer.published *= 501
    assert await code(judge, issuer.mint()) == "AUTH009"


async def test_broken_keys_do_not_hide_the_good_one(issuer, judge):
    issuer.published[:0] = [None, 5, {}, {"kty": "RSA"}, {"kty": "EC", "crv": "P-256"}]  # type: ignore[list-item]
    await judge.validate(issuer.mint())


async def test_what_the_log_names_has_no_credentials(issuer, clock):
    issuer.lie = "500"
    address = issuer.jwks_url.replace("http://", "http://me:hush@") + "?key=hush"
    judge = Jwt(Jwks(address, clock), issuer.name, issuer.audience, clock)
    with capture_logs() as lines:
        fault = await refused(judge, issuer.mint())
    assert "hush" not in f"{lines} {fault.values} {fault.cause}"
