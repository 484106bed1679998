"""Producers and workers over HTTP, who go on through every death and write down what they saw.

As a process it is one worker: `python -m tests.queue.killing.people PORT FILE SEED`.
"""

import http.client
import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.queue.killing.recorder import Asking, Recorder

COMMANDS = ("PACK", "SEND")
LEASE = 1.5
SILENT = 504
AWAY = (503, SILENT, 507)
"""Answers of a server whose store is away or full, and none within the client's patience."""
_BROKEN = (OSError, http.client.HTTPException, ValueError)


class Line:
    """One client's connection, opened anew after each death."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any] | None:
        """Status and JSON; None when the server died over it."""
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=15)
            raw = None if body is None else json.dumps(body).encode()
            self._connection.request(method, f"/v1/codeq{path}", raw)
            answer = self._connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        except TimeoutError:
            # The server lives, and may yet do what it was asked.
            self.close()
            return SILENT, None
        except _BROKEN:
            self.close()
            time.sleep(0.02)  # it is away: do not spin
            return None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Person:
    """What both kinds share: a line, a recorder, dice, and when to stop."""

    def __init__(self, port: int, recorder: Recorder, seed: object, stop: threading.Event) -> None:
        self.line = Line(port)
        self.recorder = recorder
        self.dice = random.Random(str(seed))
        self.stop = stop

    def settle(self, asking: Asking, answer: tuple[int, Any] | None) -> Any:
        """The JSON of a success; else writes down that there was none."""
        if answer is None:
            asking.broke()
        elif answer[0] in AWAY:
            # The store is away, or full. What was asked may have been done, or be done yet.
            time.sleep(0.02)
        elif answer[0] >= 300:
            assert answer[0] < 500, answer
            asking.refused()
        else:
            return answer[1]
        return None


def task_fields(task: dict[str, Any]) -> dict[str, Any]:
    """Of a task as the API shows it."""
    state = {"PENDING": "ready", "IN_PROGRESS": "leased"}.get(
        task["status"], task["status"].lower()
    )
    if state == "ready" and task.get("lastKnownLocation") == "DELAYED_ZSET":
        state = "delayed"
    if task.get("lastKnownLocation") == "DLQ_SET":
        state = "dead"
    return {
        "id": task["id"],
        "owner": task.get("tenantId") or "default",
        "command": task["command"],
        "state": state,
        "attempts": task.get("attempts", 0),
        "max_attempts": task.get("maxAttempts", 0),
        "priority": task.get("priority", 0),
        "key": task.get("key", ""),
        "token": task.get("leaseToken", ""),
        "webhook": bool(task.get("webhook")),
    }


class Producer(Person):
    """Each task has an idempotency key, so an unknown outcome is asked for again with the same."""

    def __init__(self, *person: Any, webhook: str, name: str) -> None:
        super().__init__(*person)
        self._webhook = webhook
        self._name = name
        self.made = 0

    def run(self) -> None:
        count = 0
        while not self.stop.is_set():
            count += 1
            body: dict[str, Any] = {
                "command": self.dice.choice(COMMANDS),
                "payload": {"n": count},
                "idempotencyKey": f"{self._name}-{count}",
                "priority": self.dice.choice((0, 0, 5)),
            }
            if self._webhook and self.dice.random() < 0.3:
                body["webhook"] = self._webhook
            if self.dice.random() < 0.1:
                body["delaySeconds"] = 0.4
            made = self._create(body)
            if made is not None and self.dice.random() < 0.05:
                self._cancel(made)
            time.sleep(0.004)  # load enough; the machine is shared

    def _create(self, body: dict[str, Any]) -> str | None:
        once = body["idempotencyKey"]
        asking = self.recorder.ask(
            "create", tenant="*", owner="default", command=body["command"], once=once
        )
        while True:
            answer = self.line.ask("POST", "/tasks", body)
            if answer is not None and answer[0] == 202:
                asking.answered(task_fields(answer[1]))
                self.made += 1
                return str(answer[1]["id"])
            # Asked again it is the same request: it began when it was first asked.
            assert answer is None or answer[0] in AWAY, answer
            if self.stop.is_set():
                return None

    def _cancel(self, id: str) -> None:
        asking = self.recorder.ask("cancel", tenant="*", id=id)
        answer = self.line.ask("POST", f"/tasks/{id}/cancel", {"reason": "no longer wanted"})
        if self.settle(asking, answer) is not None:
            asking.answered()


class Worker(Person):
    """Mostly honest; sometimes it forgets a task, fails it, hands it back, or is slow."""

    def __init__(self, *person: Any, name: str) -> None:
        super().__init__(*person)
        self._name = name

    def run(self) -> None:
        while not self.stop.is_set():
            tasks = self._claim()
            if len(tasks) > 1 and self.dice.random() < 0.5:
                self._finish_all(tasks)
                continue
            for task in tasks:
                self._work(task)

    def _claim(self) -> list[dict[str, Any]]:
        count = self.dice.choice((1, 1, 4))
        body: dict[str, Any] = {
            "commands": self.dice.sample(COMMANDS, 2),
            "leaseSeconds": LEASE,
            "waitSeconds": 0.3,
        }
        path = "/tasks/claim"
        if count > 1:
            path, body["count"] = "/tasks/claim/batch", count
        asking = self.recorder.ask(
            "claim", tenant="*", who=self._name, commands=COMMANDS, seconds=LEASE
        )
        answer = self.line.ask("POST", path, body)
        if answer is not None and answer[0] == 204:
            asking.answered()
            return []
        found = self.settle(asking, answer)
        if found is None:
            return []
        tasks: list[dict[str, Any]] = found["tasks"] if count > 1 else [found]
        asking.answered(*map(task_fields, tasks))
        return tasks

    def _work(self, task: dict[str, Any]) -> None:
        chance = self.dice.random()
        if chance < 0.05:
            return  # forgotten: its lease has to end by itself
        if chance < 0.10:
            time.sleep(LEASE * 1.2)  # too slow; its result comes late
        elif chance < 0.20:
            self._act(task, "heartbeat", {"extendSeconds": LEASE}, "extend", seconds=LEASE)
        if chance < 0.15:
            self._act(task, "nack", {"delaySeconds": 0.1, "reason": "broke"}, "nack")
        elif chance < 0.18:
            self._act(task, "abandon", {}, "abandon")
        else:
            body, seen = self._result()
            self._act(task, "result", body, "finish", **seen)

    def _act(
        self, task: dict[str, Any], act: str, body: dict[str, Any], kind: Any, **seen: Any
    ) -> None:
        token = task["leaseToken"]
        asking = self.recorder.ask(
            kind, tenant="*", who=self._name, id=task["id"], token=token, **seen
        )
        answer = self.line.ask("POST", f"/tasks/{task['id']}/{act}", body | {"leaseToken": token})
        found = self.settle(asking, answer)
        if found is not None:
            dead = kind == "nack" and found.get("status") == "dlq"
            asking.answered({"state": "dead"} if dead else {})

    def _result(self) -> tuple[dict[str, Any], dict[str, Any]]:
        number = self.dice.randrange(10**9)
        if self.dice.random() < 0.1:
            return {"status": "FAILED", "error": f"no {number}"}, {"state": "failed"}
        seen = {"state": "completed", "result": str(number)}
        return {"status": "COMPLETED", "result": {"number": number}}, seen

    def _finish_all(self, tasks: list[dict[str, Any]]) -> None:
        """A batch is noted as one request each; together they are answered or not."""
        results = []
        askings = []
        for task in tasks:
            body, seen = self._result()
            token = task["leaseToken"]
            results.append({"taskId": task["id"], "leaseToken": token, **body})
            askings.append(
                self.recorder.ask(
                    "finish", tenant="*", who=self._name, id=task["id"], token=token, **seen
                )
            )
        answer = self.line.ask("POST", "/tasks/batch/results", {"results": results})
        for number, asking in enumerate(askings):
            found = self.settle(asking, answer)
            if found is None:
                continue
            if found["results"][number].get("code"):
                asking.refused()
            else:
                asking.answered()


def main(port: str, path: str, seed: str) -> None:
    Worker(int(port), Recorder(Path(path)), seed, threading.Event(), name=f"p{seed}").run()


if __name__ == "__main__":
    main(*sys.argv[1:])
