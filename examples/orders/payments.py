"""A payment provider small enough to read, with a ledger that survives `kill -9`.

It stands in for a real one: charges and refunds carry an `Idempotency-Key`, every movement is a
row of an append-only SQLite ledger, and an answer is sent only after its row is on the disk. It
has no dependency and can be told to misbehave (`POST /faults`), so that tests and people can see
what a workflow does when money is slow, refused or in doubt.

    POST /charges {"order", "amount", "currency"}   captures once; 409 after a refund or a void
    POST /refunds {"order"}                         gives back what the key captured, once
    GET  /health, /ledger, /totals[?order=]         GET and POST /faults

A refund whose key captured nothing gives back what the order captured under other keys (a person
refunds an order long after its workflow ended). When there is nothing to give back it records a
void: the charge may still be on its way, and arriving late it is refused.
"""

import argparse
import contextlib
import json
import signal
import sqlite3
import sys
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  seq      INTEGER PRIMARY KEY,
  kind     TEXT NOT NULL CHECK (kind IN ('capture', 'refund', 'void')),
  key      TEXT NOT NULL,    -- of the charge that this row captures, gives back or forbids
  asked_by TEXT NOT NULL,    -- the key of the request that wrote the row
  order_id TEXT NOT NULL,
  cents    INTEGER NOT NULL CHECK (cents >= 0),
  currency TEXT NOT NULL,
  at       TEXT NOT NULL,
  UNIQUE (kind, key)         -- nothing is captured twice, nothing is given back twice
) STRICT;
CREATE INDEX IF NOT EXISTS entries_of_order ON entries (order_id);
CREATE INDEX IF NOT EXISTS entries_of_request ON entries (asked_by);
"""
MAX_BODY = 65_536
MAX_CENTS = 10**12
Json = dict[str, Any]


class Refused(Exception):  # noqa: N818 - it is not a mistake of ours
    """The request cannot be done; the status and the sentence go to the caller."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


class Ledger:
    """One SQLite file, one writer. A method returns after its row is durable."""

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone stops at the drive's cache
        self._db.executescript(SCHEMA)

    def charge(self, key: str, order: str, cents: int, currency: str) -> Json:
        """Capture once. The same request again gets the same answer; the same key with another
        request is 422, a key that was voided or refunded is 409."""
        with self._transaction() as db:
            ended = db.execute(
                "SELECT kind FROM entries WHERE (key = ?1 OR asked_by = ?1) AND kind <> 'capture'",
                (key,),
            ).fetchone()
            if ended:
                raise Refused(409, f"a {ended['kind']} came before this charge; it is not taken")
            row = self._capture(db, key)
            if row is None:
                self._enter(db, "capture", key, key, order, cents, currency)
            elif (row["order_id"], row["cents"], row["currency"]) != (order, cents, currency):
                raise Refused(422, "this Idempotency-Key was used for another charge")
        return {"order": order, "state": "captured", "amount": money(cents), "currency": currency}

    def refund(self, key: str, order: str) -> Json:
        """Give back once what the key, else the order, captured; with nothing captured: a void."""
        with self._transaction() as db:
            row = self._capture(db, key)
            if row is not None and row["order_id"] != order:
                raise Refused(422, f"this Idempotency-Key charged order {row['order_id']}")
            if not self._answered(db, key):
                captured = [row] if row is not None else self._open_captures(db, order)
                for part in captured:
                    self._enter(
                        db, "refund", part["key"], key, order, part["cents"], part["currency"]
                    )
                if not captured:
                    self._enter(db, "void", key, key, order, 0, "")
            rows = self._answered(db, key)
        refunded = sum(part["cents"] for part in rows if part["kind"] == "refund")
        state = "refunded" if rows[0]["kind"] == "refund" else "void"
        return {"order": order, "state": state, "amount": money(refunded)}

    def entries(self) -> list[Json]:
        """Every movement, oldest first."""
        with self._lock:
            rows = self._db.execute("SELECT * FROM entries ORDER BY seq").fetchall()
        return [
            {
                "seq": row["seq"],
                "kind": row["kind"],
                "key": row["key"],
                "asked_by": row["asked_by"],
                "order": row["order_id"],
                "amount": money(row["cents"]),
                "currency": row["currency"],
                "at": row["at"],
            }
            for row in rows
        ]

    def totals(self, order: str | None) -> Json:
        """Captured and refunded amounts and their difference, of one order or of all."""
        where, values = ("WHERE order_id = ?", (order,)) if order else ("", ())
        with self._lock:
            rows = self._db.execute(
                "SELECT kind, count(*) AS n, sum(cents) AS cents FROM entries"
                f" {where} GROUP BY kind",
                values,
            ).fetchall()
        cents = {row["kind"]: row["cents"] for row in rows}
        captured, refunded = cents.get("capture", 0), cents.get("refund", 0)
        return {
            "order": order,
            "captured": money(captured),
            "refunded": money(refunded),
            "net": money(captured - refunded),
            "entries": {row["kind"]: row["n"] for row in rows},
        }

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Any:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def _capture(self, db: sqlite3.Connection, key: str) -> Any:
        return db.execute(
            "SELECT * FROM entries WHERE kind = 'capture' AND key = ?", (key,)
        ).fetchone()

    def _open_captures(self, db: sqlite3.Connection, order: str) -> list[Any]:
        return db.execute(
            "SELECT * FROM entries AS c WHERE kind = 'capture' AND order_id = ? AND NOT EXISTS"
            " (SELECT 1 FROM entries AS r WHERE r.kind = 'refund' AND r.key = c.key) ORDER BY seq",
            (order,),
        ).fetchall()

    def _answered(self, db: sqlite3.Connection, key: str) -> list[Any]:
        """What refunds of this key have done so far; a charge given back by another counts, too."""
        return db.execute(
            "SELECT * FROM entries WHERE kind <> 'capture' AND (asked_by = ?1 OR key = ?1)"
            " ORDER BY seq",
            (key,),
        ).fetchall()

    def _enter(self, db: sqlite3.Connection, *values: object) -> None:
        db.execute(
            "INSERT INTO entries (kind, key, asked_by, order_id, cents, currency, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*values, datetime.now(UTC).isoformat().replace("+00:00", "Z")),
        )


class Server(ThreadingHTTPServer):
    """Loopback only: the fault switches have no lock on them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, ledger: Ledger) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.ledger = ledger
        self.faults: Json = {"delay": 0.0, "fail": None, "drop_answers": False}


class Handler(BaseHTTPRequestHandler):
    """One thread per connection; connections are kept alive."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one packet

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: what happened is in the ledger."""

    def _serve(self, method: str) -> None:
        url = urlsplit(self.path)
        money_moves = method == "POST" and url.path in ("/charges", "/refunds")
        try:
            body = self._body() if method == "POST" else {}
            faults = dict(self.server.faults) if money_moves else {}
            # The pause comes before the work: the late charge that meets a void is the hard case.
            time.sleep(faults.get("delay", 0.0))
            if faults.get("fail"):
                raise Refused(faults["fail"], "told to fail by POST /faults")
            answer = self._route(method, url.path, parse_qs(url.query), body)
            if faults.get("drop_answers"):
                self.close_connection = True
                return
            self._answer(200, answer)
        except Refused as refused:
            self._answer(refused.status, {"error": str(refused)})
        except sqlite3.Error as failure:
            print(f"ledger failed: {failure}", file=sys.stderr, flush=True)
            self._answer(500, {"error": f"ledger failed: {failure}"})

    def _route(self, method: str, path: str, query: dict[str, list[str]], body: Json) -> Json:
        ledger = self.server.ledger
        match method, path:
            case "POST", "/charges":
                cents, currency = cents_of(body.get("amount")), text_of(body, "currency")
                return ledger.charge(self._key(), text_of(body, "order"), cents, currency)
            case "POST", "/refunds":
                return ledger.refund(self._key(), text_of(body, "order"))
            case "POST", "/faults":
                self.server.faults = faults_of(self.server.faults, body)
                return self.server.faults
            case "GET", "/faults":
                return self.server.faults
            case "GET", "/health":
                ledger.totals("-")
                return {"status": "ok"}
            case "GET", "/ledger":
                return {"entries": ledger.entries()}
            case "GET", "/totals":
                return ledger.totals(query.get("order", [None])[0])
        raise Refused(404, f"no {method} {path} here")

    def _key(self) -> str:
        key = self.headers.get("Idempotency-Key", "")
        if not key or len(key) > 255:
            raise Refused(400, "the header Idempotency-Key is missing or over 255 characters")
        return key

    def _body(self) -> Json:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > MAX_BODY:
            self.close_connection = True
            raise Refused(413, f"a body of at most {MAX_BODY} bytes and its Content-Length, please")
        try:
            body = json.loads(self.rfile.read(int(length)) or b"{}", parse_float=Decimal)
        except ValueError as bad:
            raise Refused(400, f"the body is not JSON: {bad}") from bad
        if not isinstance(body, dict):
            raise Refused(400, "the body must be a JSON object")
        return body

    def _answer(self, status: int, value: Json) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        # The caller may have given up; its loss, the ledger knows.
        with contextlib.suppress(ConnectionError):
            self.wfile.write(data)
            self.wfile.flush()


def money(cents: int) -> str:
    """`1250` as `12.50`."""
    return f"{cents // 100}.{cents % 100:02d}"


def cents_of(amount: object) -> int:
    """An amount as text (`"12.50"`) or number. Raises Refused when it is not money."""
    try:
        if isinstance(amount, bool) or not isinstance(amount, str | int | Decimal):
            raise InvalidOperation
        cents = Decimal(amount) * 100
        if not (cents.is_finite() and 0 < cents <= MAX_CENTS and cents == int(cents)):
            raise InvalidOperation
    except InvalidOperation:
        raise Refused(422, f'amount must be money above 0 such as "12.50", not {amount}') from None
    return int(cents)


def text_of(body: Json, name: str) -> str:
    """A non-empty text of the body. Raises Refused."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(422, f"{name} must be a text that is not empty")
    return value


def faults_of(now: Json, body: Json) -> Json:
    """The switches after a change. Raises Refused for a switch or a value that does not exist."""
    unknown = body.keys() - now.keys()
    if unknown:
        raise Refused(422, f"unknown switch {min(unknown)}; known: {', '.join(now)}")
    delay, fail = body.get("delay", now["delay"]), body.get("fail", now["fail"])
    if isinstance(delay, bool) or not isinstance(delay, int | float | Decimal) or delay < 0:
        raise Refused(422, "delay must be seconds, 0 or more")
    if fail is not None and not (type(fail) is int and 400 <= fail <= 599):
        raise Refused(422, "fail must be a status from 400 to 599, or null")
    drop = body.get("drop_answers", now["drop_answers"])
    return {"delay": float(delay), "fail": fail, "drop_answers": bool(drop)}


def main() -> int:
    parser = argparse.ArgumentParser(description="A payment provider for the orders example")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ledger", required=True, help="SQLite file; made when it does not exist")
    given = parser.parse_args()
    ledger = Ledger(given.ledger)
    server = Server(given.port, ledger)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    print(f"payments on http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    finally:
        ledger.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
