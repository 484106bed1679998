"""Kill -9 at random points: the server, a worker, the store. What everybody saw is judged after."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from tests.queue.history.checker import check
from tests.queue.history.events import Seen, Violation
from tests.queue.killing.people import COMMANDS, Producer, Worker, task_fields
from tests.queue.killing.recorder import Recorder, history
from tests.queue.support import Server, until
from tests.servers.disk import fill

CONFIG = """
backoffPolicy: fixed
backoffBaseSeconds: 0.05
backoffMaxSeconds: 1
maxAttemptsDefault: 6
resultWebhookBaseBackoffSeconds: 0.1
resultWebhookMaxBackoffSeconds: 1
"""

_ENOUGH = 60


class Store(Protocol):
    """Where the tasks are, when that is a process of its own."""

    def kill(self) -> None: ...
    def restart(self) -> None: ...


class Receiver:
    """Takes result callbacks, and refuses some."""

    def __init__(self, recorder: Recorder, seed: int) -> None:
        dice = random.Random(seed)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                taken = dice.random() < 0.8
                if taken:
                    recorder.note("call", id=body["taskId"], state=body["status"].lower())
                self.send_response(204 if taken else 503)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Rounds:
    """A server under load that is killed again and again."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        store: Store | None = None,
        disk: Path | None = None,
        env: dict[str, str] | None = None,
        servers: int = 1,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "config.yaml"
        config.write_text(CONFIG)
        self._folder = folder
        self._seed = seed
        self._dice = random.Random(seed)
        self._store = store
        self._disk = disk
        # Its log is beside its data: on a full disk it cannot even complain.
        data = (disk or folder) / "data"
        self._servers = [
            Server(data.with_name(f"data{number}"), "--config", str(config), env=env)
            for number in range(servers)
        ]
        self._server = self._servers[0]
        self._files: list[Path] = []
        self._restarts = self._recorder("restarts")
        self._stop_producing, self._stop = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self._producers: list[Producer] = []
        self._worker: subprocess.Popen[bytes] | None = None
        self.killed: list[str] = []

    def run(self, points: int) -> list[Violation]:
        """As many kills, then everything is let come to its end."""
        for server in self._servers:
            server.start()
        receiver = Receiver(self._recorder("receiver"), self._seed)
        try:
            self._start_people(receiver.url)
            self._start_worker()
            for _ in range(points):
                time.sleep(self._dice.uniform(0.02, 0.5))  # the random point, no wait for anything
                victim = self._dice.choice(self._victims())
                self.killed.append(victim.__name__)
                victim()
            # On a busy machine little may have happened between the deaths.
            until(lambda: sum(each.made for each in self._producers) >= _ENOUGH, 60)
            self._stop_producing.set()
            until(self._at_rest, 180)
            self._stop_people()
            # In this order: a callback that is made meanwhile is seen, or still owed.
            final = self._final()
            seen = history(self._files) + final
        finally:
            self._stop_people()
            receiver.stop()
            for server in self._servers:
                server.kill()
        return self._judge(seen)

    def _judge(self, seen: Sequence[Seen]) -> list[Violation]:
        made = {each.id for each in seen if each.kind == "create" and each.answer == "yes"}
        done = [each for each in seen if each.kind == "finish" and each.answer == "yes"]
        assert len(done) > _ENOUGH // 2, "hardly anything was done: this says nothing"
        calls = sum(each.kind == "call" for each in seen)
        assert calls, "nobody was called back: this says nothing"
        print(
            f"{len(seen)} observations, {len(made)} tasks, {len(done)} results, {calls} callbacks,"
            f" {self.killed}"
        )
        return check(seen, drained=True)

    # --- who takes part ----------------------------------------------------------------------

    def _recorder(self, name: str) -> Recorder:
        path = self._folder / f"{name}-{len(self._files)}.jsonl"
        self._files.append(path)
        return Recorder(path)

    def _start_people(self, webhook: str) -> None:
        people: list[Any] = []
        for number in range(3):
            seed = f"{self._seed}-{number}"
            server = self._servers[number % len(self._servers)]
            person = (server.port, self._recorder("person"), seed)
            people.append(
                Producer(*person, self._stop_producing, webhook=webhook, name=seed)
                if number < 2
                else Worker(*person, self._stop, name="steady")
            )
        self._producers = [person for person in people if isinstance(person, Producer)]
        self._threads = [threading.Thread(target=person.run) for person in people]
        for thread in self._threads:
            thread.start()

    def _stop_people(self) -> None:
        self._stop_producing.set()
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        self._kill_worker()

    def _start_worker(self) -> None:
        path = self._folder / f"worker-{len(self._files)}.jsonl"
        self._files.append(path)
        port = self._dice.choice(self._servers).port
        words = (str(port), str(path), str(len(self._files)))
        self._worker = subprocess.Popen(
            (sys.executable, "-m", "tests.queue.killing.people", *words), start_new_session=True
        )

    def _kill_worker(self) -> None:
        if self._worker is not None:
            os.killpg(self._worker.pid, signal.SIGKILL)
            self._worker.wait(10)
            self._worker = None

    # --- deaths ------------------------------------------------------------------------------

    def kill_server(self) -> None:
        server = self._dice.choice(self._servers)
        self._note_restart(server.kill)
        server.start()

    def kill_worker(self) -> None:
        self._kill_worker()
        self._start_worker()

    def kill_store(self) -> None:
        """Of a server that lives on and finds its store again."""
        assert self._store is not None
        self._note_restart(self._store.kill)
        time.sleep(self._dice.uniform(0.0, 0.3))
        self._store.restart()
        until(self.healthy, 30)

    def fill_disk(self) -> None:
        """Not a byte is left for a while; the server lives on."""
        assert self._disk is not None
        big = fill(self._disk)
        time.sleep(self._dice.uniform(0.1, 0.8))
        big.unlink()
        until(self.healthy, 30)

    def healthy(self) -> bool:
        return all(server.get("/healthz", prefix="").status == 200 for server in self._servers)

    def _note_restart(self, death: Callable[[], None]) -> None:
        self._restarts.note("restart", state="killed")
        death()

    def _victims(self) -> list[Callable[[], None]]:
        victims = [self.kill_server, self.kill_server, self.kill_worker]
        if self._store is not None:
            victims += [self.kill_store] * 2
        if self._disk is not None:
            victims += [self.fill_disk] * 4
        return victims

    # --- the end -----------------------------------------------------------------------------

    def _at_rest(self) -> bool:
        if self._worker is not None and self._worker.poll() is not None:
            raise AssertionError(f"a worker ended by itself: {self._worker.returncode}")
        depths = [self._server.get(f"/admin/queues/{command}").json for command in COMMANDS]
        return not any(each["ready"] + each["delayed"] + each["inProgress"] for each in depths)

    def _final(self) -> list[Seen]:
        now = time.monotonic()
        found: list[Seen] = []
        cursor = ""
        while True:
            page = self._server.get(f"/tasks?limit=200&cursor={cursor}").json
            for task in page["data"]:
                fields = task_fields(task)
                if fields["state"] == "completed":
                    kept = self._server.get(f"/tasks/{task['id']}/result").json["result"]
                    fields["result"] = str(kept["result"]["number"])
                found.append(Seen("final", now, now, **fields))
            cursor = page["pagination"].get("next_cursor") or ""
            if not cursor:
                return found + self._owed(now)

    def _owed(self, now: float) -> list[Seen]:
        answers = [
            self._server.get(f"/admin/deliveries?limit=1000&givenUp={given_up}").json["data"]
            for given_up in ("false", "true")
        ]
        return [Seen("owed", now, now, id=call["taskId"]) for answer in answers for call in answer]
