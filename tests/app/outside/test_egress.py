"""Where a call of a program may go: names that resolve to this machine, names that change their
mind between two questions, redirects. A victim listens on 127.0.0.1 and is never connected to; 127.0.0.2
stands for an address that may be called."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.app.outside.calling import CLOCK
from tests.app.outside.service import Seen, Service, Told

from backstay.app.flow.integrations import Integrations
from backstay.app.flow.metrics import FlowMetrics
from backstay.app.flow.model import Outcome
from backstay.app.flow.turn import Claim
from backstay.core.metrics import Registry
from backstay.lang.api import check_text

NAME = "shop.example"
GONE = {"Connection": "close"}


@pytest.fixture
def victim() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


@pytest.fixture
def allowed(victim: Service) -> Iterator[Service]:
    """On the same port of another address."""
    made = Service("127.0.0.2", int(victim.url.rpartition(":")[2]))
    made.answers = lambda _: (200, GONE, b'{"here":"allowed"}')
    yield made
    made.close()


@contextmanager
def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> Iterator[None]:
    """The name resolves to each of these in turn, as with a server that wants to fool us."""
    given, real = iter(answers), socket.getaddrinfo

    def lookup(host: str, port: int, *more: object, **named: object) -> object:
        if host != NAME:
            return real(host, port, *more, **named)  # type: ignore[arg-type]
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(given)
        ]

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", lookup)
        yield


async def called(url: str, times: int = 1) -> list[Outcome]:
    """What becomes of calls to an address that stands in a program."""
    get = 'operation get { method: GET, path: "/" }'
    text = f'integration S {{ type: rest\n base_url: "{url}"\n {get} }}'
    program, found = check_text("app.cai", text)
    assert program is not None, found
    made = Integrations(CLOCK, FlowMetrics(Registry((), CLOCK)), {}, {}, ("127.0.0.2",))
    made.add(program)
    claim = Claim("e", "w", "forward", 0, -1, "s", 1, "t", "e/s", "S.get", "{}", 5.0)
    try:
        return [await made.call(claim) for _ in range(times)]
    finally:
        await made.close()


def refused(outcome: Outcome) -> bool:
    return outcome.kind == "failed" and outcome.final and "not allowed" in outcome.error


async def test_a_name_that_becomes_this_machine_after_it_was_judged_is_judged_again(
    monkeypatch: pytest.MonkeyPatch, victim: Service, allowed: Service
) -> None:
    """DNS rebinding: a connection goes to the address that was judged, and what is asked anew is
    judged anew."""
    url = f"http://{NAME}:{victim.url.rpartition(':')[2]}"
    with resolving(monkeypatch, ["127.0.0.2"], ["127.0.0.1"]):
        kept = await called(url, 2)
        (anew,) = await called(url)
    assert {outcome.output for outcome in kept} == {'{"here":"allowed"}'}
    assert refused(anew), anew
    assert (len(allowed.seen), victim.seen) == (2, [])


async def test_of_several_addresses_only_those_that_are_allowed_are_connected_to(
    monkeypatch: pytest.MonkeyPatch, victim: Service, allowed: Service
) -> None:
    url = f"http://{NAME}:{victim.url.rpartition(':')[2]}"
    with resolving(monkeypatch, ["127.0.0.1", "127.0.0.2", "127.0.0.1"]):
        (outcome,) = await called(url)
    assert outcome.kind == "done"
    assert (len(allowed.seen), victim.seen) == (1, [])


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.7", "169.254.169.254", "100.100.100.200", "0.0.0.0"]
)
async def test_names_of_near_and_metadata_addresses_are_refused(
    monkeypatch: pytest.MonkeyPatch, victim: Service, address: str
) -> None:
    with resolving(monkeypatch, [address]):
        (outcome,) = await called(f"http://{NAME}:{victim.url.rpartition(':')[2]}")
    assert refused(outcome), outcome
    assert victim.seen == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_this_machine_is_not_followed(
    monkeypatch: pytest.MonkeyPatch, victim: Service, allowed: Service, status: int
) -> None:
    def elsewhere(_: Seen) -> Told:
        return status, {"Location": f"{victim.url}/admin", **GONE}, b""

    allowed.answers = elsewhere
    with resolving(monkeypatch, ["127.0.0.2"]):
        (outcome,) = await called(f"http://{NAME}:{victim.url.rpartition(':')[2]}")
    assert (outcome.kind, outcome.final) == ("failed", True)
    assert f"answered {status}" in outcome.error
    assert (len(allowed.seen), victim.seen) == (1, [])
