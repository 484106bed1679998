"""Trust is judged by where a request arrives and what it proves, never by what it says of itself."""

import pytest
from structlog.testing import capture_logs

from backstay.core.context import (
    ANONYMOUS,
    LOCAL,
    PRINCIPAL_HEADER,
    SYSTEM,
    Principal,
    encode_principal,
)
from backstay.core.errors import Fault
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer, SharedSecret
from backstay.core.trust import Trust, require_auth_for
from backstay.core.validators import Jwt
from backstay.core.virtual import VirtualClock

CLOCK = VirtualClock()
SECRET = Secret("a-shared-secret-of-32-characters!")
VALIDATOR = Jwt(SharedSecret(SECRET), "backstay", "backstay", CLOCK)
TOKEN = Issuer(SECRET, "backstay", "backstay", CLOCK).mint("alice", ["a"], ttl=3600)
BEARER = {"authorization": f"Bearer {TOKEN}"}
FORGED = {PRINCIPAL_HEADER: encode_principal(SYSTEM)}
HOST = {"host": "127.0.0.1:8080"}


async def refused(trust, peer="127.0.0.1", method="GET", headers=HOST):
    with pytest.raises(Fault) as caught:
        await trust.judge(peer, method, headers)
    return caught.value.entry.code


async def test_a_socket_believes_its_gateway():
    alice = Principal("user", sub="alice", scopes=frozenset({"a"}))
    trust = Trust.socket()
    assert await trust.judge("", "GET", {PRINCIPAL_HEADER: encode_principal(alice)}) == alice
    assert await trust.judge("", "GET", {}) == LOCAL
    assert await refused(trust, headers={PRINCIPAL_HEADER: "nonsense"}) == "AUTH001"


@pytest.mark.parametrize("trust", [Trust.loopback(VALIDATOR), Trust.strict(VALIDATOR)])
async def test_tcp_never_believes_the_principal_header(trust):
    assert (await trust.judge("10.0.0.9", "GET", FORGED)) == ANONYMOUS
    assert (await trust.judge("127.0.0.1", "GET", FORGED | BEARER)).sub == "alice"


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
async def test_a_person_at_this_machine_is_local(peer):
    assert await Trust.loopback().judge(peer, "POST", HOST) == LOCAL


@pytest.mark.parametrize("peer", ["10.0.0.9", "", "localhost.evil", "::ffff:10.0.0.9"])
async def test_nobody_else_is_local(peer):
    assert await refused(Trust.loopback(), peer) == "AUTH005"
    assert await Trust.loopback(VALIDATOR).judge(peer, "GET", HOST) == ANONYMOUS


async def test_what_a_proxy_passes_on_is_not_local():
    headers = HOST | {"x-forwarded-for": "203.0.113.9"}
    assert await refused(Trust.loopback(), headers=headers) == "AUTH005"


async def test_a_bad_token_never_falls_back_to_local():
    bad = HOST | {"authorization": f"Bearer {TOKEN}x"}
    assert await refused(Trust.loopback(VALIDATOR), headers=bad) == "AUTH001"
    assert await refused(Trust.loopback(), headers=HOST | BEARER) == "AUTH008"
    basic = HOST | {"authorization": "Basic dXNlcjpw"}
    assert await refused(Trust.loopback(VALIDATOR), headers=basic) == "AUTH001"
    assert await refused(Trust.strict(VALIDATOR), headers={"authorization": "Bearer "}) == "AUTH001"


async def test_a_refused_credential_is_one_log_line_with_its_code():
    with capture_logs() as lines:
        await refused(Trust.strict(VALIDATOR), headers={"authorization": "Bearer x"})
    assert [(line["event"], line["code"]) for line in lines] == [
        ("authentication failed", "AUTH001")
    ]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8080", "[bad", "10.0.0.9"]
)
async def test_a_foreign_host_is_refused_against_dns_rebinding(host):
    assert await refused(Trust.loopback(), headers={"host": host}) == "CORE013"


@pytest.mark.parametrize("host", ["localhost:8080", "LOCALHOST", "[::1]:80", "shop.test:1"])
async def test_own_hosts_pass(host):
    assert await Trust.loopback(hosts=["shop.test"]).judge("::1", "GET", {"host": host}) == LOCAL


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8080", ""]
)
async def test_a_foreign_page_may_not_change_things(origin):
    headers = HOST | {"origin": origin}
    assert await refused(Trust.loopback(), method="POST", headers=headers) == "CORE014"
    assert await Trust.loopback().judge("127.0.0.1", "GET", headers) == LOCAL


async def test_a_page_of_this_host_may():
    headers = HOST | {"origin": "http://127.0.0.1:8080"}
    assert await Trust.loopback().judge("127.0.0.1", "DELETE", headers) == LOCAL


async def test_strict_without_a_token_is_anonymous_also_from_loopback():
    assert await Trust.strict(VALIDATOR).judge("127.0.0.1", "POST", HOST) == ANONYMOUS


@pytest.mark.parametrize("address", [":8080", "0.0.0.0:8080", "[::]:80", "192.0.2.1:80", "db:80"])
def test_an_open_address_without_validator_is_refused(address):
    with pytest.raises(Fault, match="CORE012"):
        require_auth_for(address, None)
    require_auth_for(address, VALIDATOR)


@pytest.mark.parametrize("address", ["127.0.0.1:8080", "[::1]:80", "localhost:1", "unix:/run/x"])
def test_a_private_address_needs_none(address):
    require_auth_for(address, None)
