"""Keys on a socket: the gateway in front knows tokens alone, and says who it let through."""

from collections.abc import AsyncIterator

import pytest
from tests.app.support import NewDatabase

from backstay.app.keys.judge import HEADER, KeyBehindGateway
from backstay.app.keys.model import Wanted
from backstay.app.keys.service import BELIEVED, Keys
from backstay.core.clock import Uuid7
from backstay.core.context import LOCAL, PRINCIPAL_HEADER, Principal, encode_principal
from backstay.core.errors import Fault
from backstay.core.trust import Trust
from backstay.core.virtual import VirtualClock

NOBODY = {PRINCIPAL_HEADER: encode_principal(Principal("anonymous"))}


class Place:
    """Two replicas on one database, with one clock."""

    def __init__(self, keys: Keys, other: Keys, clock: VirtualClock) -> None:
        self.keys = keys
        self.other = other
        self.clock = clock
        self.judge = KeyBehindGateway(Trust.socket(), keys)
        self.elsewhere = KeyBehindGateway(Trust.socket(), other)


@pytest.fixture
async def place(new_database: NewDatabase) -> AsyncIterator[Place]:
    database, clock = new_database(), VirtualClock()
    await database.open()
    ids = Uuid7(clock)
    yield Place(Keys(database, clock, ids), Keys(database, clock, ids), clock)
    await database.close()


async def test_whom_the_gateway_does_not_know_is_known_by_a_key(place: Place) -> None:
    _, text = await place.keys.create(Wanted("depot", roles=("clerk",)), LOCAL)
    who = await place.judge.judge("", "GET", {**NOBODY, HEADER: text})
    assert (who.kind, who.sub, who.roles) == ("user", "key:depot", frozenset({"clerk"}))
    ada = encode_principal(Principal("user", sub="ada"))
    known = await place.judge.judge("", "GET", {PRINCIPAL_HEADER: ada, HEADER: text})
    assert known.sub == "ada"
    for headers in (NOBODY, {**NOBODY, HEADER: "of another system"}):
        assert (await place.judge.judge("", "GET", headers)).kind == "anonymous"


async def test_a_key_that_does_not_count_is_refused_and_not_nobody(place: Place) -> None:
    key, text = await place.keys.create(Wanted("depot"), LOCAL)
    await place.keys.revoke(key.id)
    for given in (text, "bsk_unknown"):
        with pytest.raises(Fault) as refused:
            await place.judge.judge("", "GET", {**NOBODY, HEADER: given})
        assert refused.value.entry.code == "AUTH001"


async def test_a_revoked_key_ends_within_seconds_where_it_was_believed(place: Place) -> None:
    key, text = await place.keys.create(Wanted("depot"), LOCAL)
    headers = {**NOBODY, HEADER: text}
    assert (await place.elsewhere.judge("", "GET", headers)).sub == "key:depot"
    await place.keys.revoke(key.id)
    with pytest.raises(Fault):
        await place.judge.judge("", "GET", headers)
    place.clock.advance_now(BELIEVED)
    with pytest.raises(Fault):
        await place.elsewhere.judge("", "GET", headers)


async def test_a_key_ends_at_its_time_also_while_it_is_believed(place: Place) -> None:
    _, text = await place.keys.create(Wanted("depot", expires_in="2s"), LOCAL)
    headers = {**NOBODY, HEADER: text}
    assert (await place.judge.judge("", "GET", headers)).sub == "key:depot"
    place.clock.advance_now(2.0)
    with pytest.raises(Fault) as refused:
        await place.judge.judge("", "GET", headers)
    assert refused.value.entry.code == "AUTH002"


async def test_when_keys_were_used_is_kept_by_the_loop(place: Place) -> None:
    key, text = await place.keys.create(Wanted("depot"), LOCAL)
    await place.judge.judge("", "GET", {**NOBODY, HEADER: text})
    used_at = place.keys.now
    await place.keys.step()
    (stored,), total = await place.keys.page(10, 1)
    assert (stored.id, stored.used_at, total) == (key.id, used_at, 1)
