"""The application of one test: what `lang.script.application` asks for, done by the real parts.

A test is told line by line and waits for each; the application is asynchronous. A runner of its
own keeps its event loop from one statement to the next, so nothing happens in between.
"""

import asyncio
import tempfile
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from backstay.app.plan.endpoints import PREFIX
from backstay.app.plan.rows import Rows
from backstay.app.plan.statements import compile_block
from backstay.app.plan.tables import Table, table
from backstay.app.plan.writes import Writer
from backstay.app.store.session import Session
from backstay.app.trial.stage import Stage
from backstay.app.trial.told import Tell, bare, plain, row_of, teller
from backstay.app.values import is_many
from backstay.core.clock import Dice, Ids
from backstay.core.context import ANONYMOUS, Principal
from backstay.core.virtual import VirtualClock
from backstay.lang.library.values import Value
from backstay.lang.program import (
    Binary,
    Column,
    Create,
    ManyType,
    Name,
    Program,
    ScalarType,
    Statement,
)
from backstay.lang.script.application import Row, Visited

T = TypeVar("T")
_BOOL = ScalarType("bool")


class Trial:
    """Starts at once. Raises the faults with which a server refuses to serve the program."""

    def __init__(self, program: Program, clock: VirtualClock, ids: Ids, dice: Dice) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="codeai-test-")
        self._runner = asyncio.Runner()
        self._tells: dict[str, dict[str, Tell]] = {}
        try:
            self._stage = Stage(program, Path(self._folder.name), clock, ids, dice)
            self._program = self._stage.program
            self._run(self._stage.open())
        except BaseException:
            self._runner.close()
            self._folder.cleanup()
            raise

    def close(self) -> None:
        try:
            self._run(self._stage.close())
        finally:
            self._runner.close()
            self._folder.cleanup()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    # --- rows ------------------------------------------------------------------------------------

    def given(self, entity: str, values: Mapping[str, Value]) -> Row:
        known = {field.name: field.type for field in self._program.entity(entity).fields}
        entries = tuple((name, Name(name, known[name])) for name in values)
        statement = Create(entity, entries, "made")
        made = self._write(statement, {name: bare(value) for name, value in values.items()})["made"]
        return self._told(entity, made if isinstance(made, Mapping) else {})

    def change(self, row: Row, values: Mapping[str, Value]) -> None:
        known = {field.name: field.type for field in self._program.entity(row.entity).fields}
        update = Writer(self._program, row.entity).update(
            self._is(row), tuple((name, Name(name, known[name])) for name in values)
        )
        scope = {name: bare(value) for name, value in values.items()} | {"key": bare(row[row.key])}
        self._in(lambda conn: update(self._stage.unit(conn), scope))

    def remove(self, row: Row) -> None:
        delete = Writer(self._program, row.entity).delete(self._is(row))
        self._in(lambda conn: delete(self._stage.unit(conn), {"key": bare(row[row.key])}))

    def rows(self, entity: str) -> list[Row]:
        known = table(self._program, entity)
        text = f"SELECT {known.select} FROM {known.name} ORDER BY {known.name}.{_key(known)}"  # noqa: S608 - names of the checked program
        found = self._run(
            self._stage.database.read(lambda c: [known.row(each) for each in c.execute(text)])
        )
        return [self._told(entity, row) for row in found]

    def row(self, entity: str, key: Value) -> Row | None:
        load = Rows(self._program, guarded=False).one(entity)
        found = self._run(
            self._stage.database.read(lambda conn: load(self._stage.unit(conn), bare(key)))
        )
        return None if found is None else self._told(entity, found)

    def below(self, row: Row, field: str) -> list[Row] | None:
        many = {each.name: each.type for each in self._program.entity(row.entity).fields}.get(field)
        if not isinstance(many, ManyType):
            return None
        load, key = Rows(self._program, guarded=False).many(many.entity, many.via), row[row.key]
        found = self._run(
            self._stage.database.read(lambda conn: load(self._stage.unit(conn), bare(key)))
        )
        return [self._told(many.entity, each) for each in found]

    def _told(self, entity: str, row: Mapping[str, object]) -> Row:
        declared = self._program.entity(entity)
        if entity not in self._tells:
            self._tells[entity] = {
                field.name: teller(self._program, field.type)
                for field in declared.fields
                if not is_many(field.type)
            }
        return row_of(entity, declared.key, self._tells[entity], row)

    def _is(self, row: Row) -> Binary:
        kind = table(self._program, row.entity).column(row.key).field.type
        return Binary("==", Column(row.key, kind), Name("key", kind), _BOOL)

    def _write(self, statement: Statement, scope: dict[str, object]) -> dict[str, object]:
        block = compile_block(self._program, (statement,))
        self._in(lambda conn: block(self._stage.unit(conn), scope))
        return scope

    def _in(self, work: "Any") -> None:
        def run(conn: Session) -> None:
            work(conn)

        self._run(self._stage.database.write(run))

    # --- what is done ----------------------------------------------------------------------------

    def stub(self, operation: str, answer: Value, fails: int) -> None:
        self._stage.stubs.put(operation, plain(answer), fails)

    def visit(
        self, method: str, path: str, body: Value, user: Mapping[str, Value] | None
    ) -> Visited:
        self._stage.judge.user = ANONYMOUS if user is None else _principal(user)
        data = b"" if body is None else msgspec.json.encode(plain(body))
        status, answer = self._run(_call(self._stage.web, method, f"{PREFIX}{path}", data))
        return Visited(status, _json(answer))

    def start(self, workflow: str, given: Mapping[str, Value]) -> str:
        flow, program = self._stage.flow, self._program.hash
        values = {name: _input(value) for name, value in given.items()}
        return self._run(
            self._stage.database.write(
                lambda conn: flow.begin(self._stage.unit(conn), program, workflow, values)
            )
        )

    def execution(self, id: str) -> Mapping[str, Value]:
        sql = "SELECT status, error FROM executions WHERE id = ?"
        status, error = self._run(
            self._stage.database.read(lambda conn: conn.execute(sql, (id,)).fetchone())
        ) or ("unknown", "")
        return {"id": id, "status": str(status), "error": str(error) if error else None}

    def emit(self, event: str, values: Mapping[str, Value]) -> None:
        emit = self._stage.flow.emitter(self._program.hash)
        given = {name: _input(value) for name, value in values.items()}
        self._in(lambda conn: emit(self._stage.unit(conn), event, given))

    def settle(self) -> None:
        self._run(self._stage.settle())

    def advance(self, seconds: float) -> None:
        self._run(self._stage.advance(seconds))

    def unstubbed(self) -> str:
        found = self._stage.stubs.unstubbed
        return found[0] if found else ""


def _key(known: Table) -> str:
    return '"' + known.key.replace('"', '""') + '"'


def _input(value: Value) -> object:
    """A row handed over is its key."""
    return bare(value[value.key] if isinstance(value, Row) else value)


def _principal(user: Mapping[str, Value]) -> Principal:
    known = {name: bare(value) for name, value in user.items()}
    return Principal(
        "user",
        sub=str(known.pop("id", "") or known.pop("sub", "")),
        tenant=str(known.pop("tenant", "default")),
        scopes=_names(known.pop("scopes", ())),
        roles=_names(known.pop("roles", ())),
        claims=known,
    )


def _names(value: object) -> frozenset[str]:
    return frozenset(str(each) for each in value) if isinstance(value, list) else frozenset()


async def _call(web: Any, method: str, target: str, body: bytes) -> tuple[int, bytes]:
    """One request to the ASGI application of the program."""
    parts = urlsplit(target)
    headers = [(b"host", b"test"), (b"content-length", str(len(body)).encode())]
    if body:
        headers.append((b"content-type", b"application/json"))
    scope = {
        "type": "http",
        "method": method,
        "path": parts.path,
        "raw_path": quote(parts.path).encode(),
        "query_string": quote(parts.query, safe="=&%+,:-_.~[]").encode(),
        "headers": headers,
        "client": ("127.0.0.1", 0),
    }
    answer: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        answer.append(message)

    await web(scope, receive, send)
    return int(answer[0]["status"]), b"".join(part.get("body", b"") for part in answer[1:])


def _json(body: bytes) -> Value:
    if not body:
        return None
    try:
        return msgspec.json.decode(body)  # type: ignore[no-any-return]
    except msgspec.DecodeError:
        return body.decode("utf-8", "replace")
