"""A small world of real servers that looks to the doctor like a running Backstay: control sockets,
an HTTP address, store files, `state.json` and a supervisor's lock."""

import asyncio
import http.server
import json
import os
import sqlite3
import threading
from functools import partial
from pathlib import Path

import msgspec

from backstay.core.control import ControlServer, Reply
from backstay.core.dev_issuer import make_dev_issuer
from backstay.core.guide import Target
from backstay.core.lock import Lock
from backstay.core.runtime import make_runtime

SYSTEMS = ("queue", "app", "gateway")


def closed(target):
    return {
        "target": target,
        "state": "closed",
        "consecutive_failures": 0,
        "total_failures": 0,
        "rejected": 0,
        "reason": "",
        "opened_at": "",
        "next_probe_at": "",
    }


class Web:
    """An HTTP server in a thread: `answer(path, headers)` gives status and JSON."""

    def __init__(self, answer):
        handler = partial(_Handler, answer)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, answer, *given):
        self.answer = answer
        super().__init__(*given)

    def do_GET(self):
        status, value = self.answer(self.path, self.headers)
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class World:
    """All is well until a test changes something."""

    def __init__(self, folder: Path):
        self.data = folder / "data"
        self.data.mkdir()
        self.program = folder / "app.cai"
        self.program.write_text('config { name: "shop" }\n')
        self.runtime = make_runtime(self.data)
        self.lock = Lock(self.data).acquire()
        self.issuer = make_dev_issuer(self.data)
        for name in ("queue.db", "app.db"):
            with sqlite3.connect(self.data / name) as db:
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("CREATE TABLE t (x)")
        self.token_answer = lambda headers: (200, {"service": "gateway"})
        self.web = Web(self._gateway)
        self.payments = Web(lambda path, headers: (200, {"status": "ok"}))
        self.answers = {
            "queue": {
                "queue.store": {"path": str(self.data / "queue.db"), "writable": True},
                "queue.commands": {"commands": {"PACK_ORDER": self.command()}},
            },
            "app": {
                "app.database": {"path": str(self.data / "app.db"), "reading": "ok"},
                "app.integrations": {"integrations": {"Payments": {"last_error": ""}}},
            },
            "gateway": {},
        }
        self.breakers = [closed("integration:Payments")]
        self.settings = [{"name": "jwt_secret", "value": "", "source": "default", "where": ""}]
        self.processes = {name: self.process(name) for name in SYSTEMS}
        self.processes["payments"] = self.process("payments", control="", address=self.payments.url)
        self.processes["packer"] = self.process("packer", control="", address="")
        self.servers = {}
        self.write_state()

    def process(self, name, **changes):
        return {
            "pid": os.getpid(),
            "started": "2026-01-01T00:00:00Z",
            "state": "ready",
            "address": f"unix:{self.runtime / name}.sock",
            "control": str(self.runtime / f"{name}.ctl"),
            "restarts": 0,
            "last_exit": None,
        } | changes

    @staticmethod
    def command(**changes):
        quiet = {"ready": 0, "delayed": 0, "in_progress": 0, "dead": 0, "oldest_ready_age": -1.0}
        return quiet | {"last_claim_age": 0.5, "waiting_claims": 1} | changes

    def write_state(self, **changes):
        state = {
            "version": "0.1.0",
            "pid": os.getpid(),
            "started": "2026-01-01T00:00:00Z",
            "base_url": self.web.url,
            "data": str(self.data),
            "app_file": str(self.program),
            "processes": self.processes,
        } | changes
        (self.runtime / "state.json").write_bytes(msgspec.json.encode(state))

    async def start(self):
        for name in SYSTEMS:
            self.servers[name] = ControlServer(self.runtime / f"{name}.ctl", self._routes(name))
            await self.servers[name].start()

    async def kill(self, name, state="restarting", reason="killed by signal 9", code=-9):
        """The process is gone: its control socket is silent, its pid dead."""
        await self.servers.pop(name).stop()
        ended = {"at": "2026-01-01T00:00:00Z", "reason": reason, "code": code}
        self.processes[name] |= {"pid": _dead_pid(), "state": state, "last_exit": ended}
        self.write_state()

    async def end(self):
        """Nothing runs any more, as after `backstay down`."""
        for name in list(self.servers):
            await self.servers.pop(name).stop()
        for process in self.processes.values():
            process |= {"pid": None, "state": "stopped"}
        self.write_state(pid=_dead_pid())
        self.lock.release()
        self.web.stop()

    async def close(self):
        for server in self.servers.values():
            await server.stop()
        self.web.stop()
        self.payments.stop()
        self.lock.release()

    def target(self, **changes):
        given = {"data": self.data, "runtime": self.runtime, "base_url": self.web.url}
        return Target(**(given | changes))

    def _routes(self, name):
        async def live(_, __):
            return _reply({"name": name, "pid": os.getpid(), "ready": True})

        async def breakers(_, __):
            return _reply(self.breakers if name == "app" else [])

        async def settings(_, __):
            return _reply(self.settings if name == "gateway" else [])

        async def probe(asked, _):
            value = self.answers[name][asked]
            if value == "hang":
                await asyncio.sleep(60)
            return _reply(value)

        return {
            "GET /live": live,
            "GET /breakers": breakers,
            "GET /settings": settings,
            "GET /probe/{}": probe,
        }

    def _gateway(self, path, headers):
        if path == "/health/live":
            return 200, {"status": "alive"}
        return self.token_answer(headers)


def _reply(value):
    return Reply(msgspec.json.encode(value))


def _dead_pid():
    """A pid that was ours a moment ago and is nobody's now."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid
