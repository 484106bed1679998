"""What is done with keys: made, shown, revoked, rotated, and judged when a request brings one."""

import asyncio
from functools import partial

from backstay.app.errors import KEY_ENDED, KEY_WANTED, UNKNOWN_KEY
from backstay.app.keys import rows
from backstay.app.keys.model import PREFIX, Key, Wanted, hashed, new_text, shown
from backstay.app.store.session import Database, Session
from backstay.app.values import micros
from backstay.core import faults
from backstay.core.clock import Clock, Ids, rfc3339
from backstay.core.context import Principal
from backstay.core.duration import parse_duration
from backstay.core.errors import Fault

BELIEVED = 5.0
"""Seconds for which a key that was looked up counts without another look: so much later than here
a revoked one ends at other replicas."""
_KNOWN = 10_000
_NOTED = 60.0
"""Seconds between two notes of which keys are in use; the first use after a pause is noted soon."""


class Keys:
    """The keys of one server. A Validator of them, and a Loop that notes which are in use."""

    name = "keys"

    def __init__(self, database: Database, clock: Clock, ids: Ids) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._known: dict[str, tuple[float, Key]] = {}
        self._used: dict[str, int] = {}
        self._next_note = 0.0
        self.wake = asyncio.Event()

    @property
    def now(self) -> int:
        """UTC microseconds."""
        return micros(self._clock.now())

    # --- judged ---

    async def validate(self, token: str) -> Principal:
        """Who holds the key. Raises AUTH001, or AUTH002 for one past its time; a database that does
        not answer is its own Fault: nobody is let in."""
        digest, tick = hashed(token), self._clock.tick()
        known = self._known.get(digest)
        key = known[1] if known is not None and tick < known[0] else None
        if key is None:
            self._known.pop(digest, None)
            key = await self._database.read(lambda conn: rows.by_hash(conn, digest), brief=True)
            if key is None:
                raise Fault(faults.AUTH_INVALID, reason="no API key of this server is like it")
            if len(self._known) >= _KNOWN:
                del self._known[next(iter(self._known))]
            self._known[digest] = (tick + BELIEVED, key)
        now = self.now
        status = key.status(now)
        if status == "revoked":
            raise Fault(faults.AUTH_INVALID, reason=f"the API key {key.name} was revoked")
        if status == "expired":
            raise Fault(faults.AUTH_EXPIRED, expired=rfc3339((key.ends_at or 0) / 1e6))
        if not self._used:
            self.wake.set()
        self._used[key.id] = now
        return key.principal()

    async def step(self) -> float | None:
        """Keep when keys were last used."""
        tick = self._clock.tick()
        if not self._used:
            return None
        if tick < self._next_note:
            return self._next_note
        used, self._used = self._used, {}

        def work(conn: Session) -> None:
            for key, at in used.items():
                rows.used(conn, key, at)

        await self._database.write(work)
        self._next_note = tick + _NOTED
        return None

    # --- steered ---

    async def create(self, wanted: Wanted, who: Principal) -> tuple[Key, str]:
        """A new key and its text, which nobody can show again. Raises APP063."""
        text = new_text()
        ends_at = self._end(wanted.expires_in)
        made = self._made(wanted, who, text, ends_at)
        await self._database.write(lambda conn: rows.insert(conn, made, hashed(text)))
        return made, text

    async def page(self, limit: int, number: int) -> tuple[list[Key], int]:
        """Keys, the newest first, and how many there are."""

        def work(conn: Session) -> tuple[list[Key], int]:
            return rows.page(conn, limit, (number - 1) * limit), rows.count(conn)

        return await self._database.read(work, snapshot=True)

    async def revoke(self, id: str) -> Key:
        """The key does not count any more; twice is once. Raises APP062."""
        now = self.now

        def work(conn: Session) -> Key:
            _found(conn, id)
            rows.revoke(conn, id, now)
            return _found(conn, id)

        try:
            return await self._database.write(work)
        finally:
            self._forget(id)

    async def rotate(self, id: str, grace: str, who: Principal) -> tuple[Key, str]:
        """Another key for the same holder with the same rights; the old one ends after `grace`, a
        duration, at once for "". Raises APP062, APP063, APP064 for one that has ended."""
        text, ends = new_text(), self.now if not grace else self._end(grace)
        work = partial(self._rotated, id=id, who=who, text=text, ends=ends or self.now)
        try:
            return await self._database.write(work), text
        finally:
            self._forget(id)

    def _rotated(self, conn: Session, *, id: str, who: Principal, text: str, ends: int) -> Key:
        old = _found(conn, id)
        status = old.status(self.now)
        if status != "active":
            raise Fault(KEY_ENDED, id=id, status=status)
        wanted = Wanted(old.name, old.roles, old.scopes, old.sub, old.tenant)
        made = self._made(wanted, who, text, old.ends_at, replaces=id)
        rows.insert(conn, made, hashed(text))
        rows.revoke(conn, id, ends)
        return made

    def _made(
        self,
        wanted: Wanted,
        who: Principal,
        text: str,
        ends_at: int | None,
        replaces: str | None = None,
    ) -> Key:
        return Key(
            id=self._ids.new(),
            name=wanted.name,
            prefix=shown(text),
            sub=wanted.sub or f"key:{wanted.name}",
            tenant=wanted.tenant,
            roles=wanted.roles,
            scopes=wanted.scopes,
            created_by=who.sub or who.kind,
            created_at=self.now,
            ends_at=ends_at,
            replaces=replaces,
        )

    def _end(self, text: str) -> int | None:
        if not text:
            return None
        try:
            seconds = parse_duration(text)
        except ValueError:
            seconds = -1.0
        if seconds <= 0:
            raise Fault(KEY_WANTED, reason=f"{text!r} is no duration like 720h")
        return micros(self._clock.now() + seconds)

    def _forget(self, id: str) -> None:
        for digest in [digest for digest, (_, key) in self._known.items() if key.id == id]:
            del self._known[digest]


def is_key(token: str) -> bool:
    """Whether a credential is meant to be a key."""
    return token.startswith(PREFIX)


def _found(conn: Session, id: str) -> Key:
    found = rows.by_id(conn, id)
    if found is None:
        raise Fault(UNKNOWN_KEY, id=id)
    return found
