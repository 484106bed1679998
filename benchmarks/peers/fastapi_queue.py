"""What one writes in an afternoon: a queue of one table in FastAPI, with the routes and the JSON
that the load tool speaks. As durable (`synchronous=FULL`), one process. No lease that ends, no
retry, no tenants, no priorities, no validation of what a task is."""

import sqlite3
import sys
import time
import uuid
from typing import Any

import uvicorn
from fastapi import FastAPI, Response
from pydantic import BaseModel, Field

PREFIX = "/v1/codeq/tasks"
folder, port = sys.argv[1:]
db = sqlite3.connect(f"{folder}/plain.db", isolation_level=None)
db.execute("PRAGMA journal_mode = wal")
db.execute("PRAGMA synchronous = FULL")
db.executescript(
    "CREATE TABLE job (number INTEGER PRIMARY KEY, id TEXT UNIQUE, state INTEGER DEFAULT 0,"
    " command TEXT, body TEXT, token TEXT, claimed REAL, result TEXT);"
    "CREATE INDEX job_ready ON job (command, number) WHERE state = 0"
)
app = FastAPI()


class New(BaseModel):
    command: str
    payload: Any


class Many(BaseModel):
    tasks: list[New]


class Claim(BaseModel):
    commands: list[str]
    count: int = 1


class Result(BaseModel):
    status: str
    result: Any
    token: str = Field(alias="leaseToken")
    id: str = Field(default="", alias="taskId")


class Results(BaseModel):
    results: list[Result]


def made(tasks: list[New]) -> list[dict[str, str]]:
    rows = [(str(uuid.uuid4()), new.command, str(new.payload)) for new in tasks]
    with db:
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO job (id, command, body) VALUES (?, ?, ?)", rows)
    return [{"id": id_, "command": command} for id_, command, _ in rows]


def taken(claim: Claim) -> list[dict[str, str]]:
    token = str(uuid.uuid4())
    with db:
        db.execute("BEGIN IMMEDIATE")
        rows = db.execute(
            "UPDATE job SET state = 1, token = ?, claimed = ? WHERE number IN (SELECT number"
            " FROM job WHERE state = 0 AND command = ? ORDER BY number LIMIT ?) RETURNING id, body",
            (token, time.time(), claim.commands[0], claim.count),
        ).fetchall()
    return [{"id": id_, "payload": body, "leaseToken": token} for id_, body in rows]


def ended(results: list[Result]) -> int:
    with db:
        db.execute("BEGIN IMMEDIATE")
        return db.executemany(
            "UPDATE job SET state = 2, result = ? WHERE id = ? AND token = ? AND state = 1",
            [(str(each.result), each.id, each.token) for each in results],
        ).rowcount


@app.post(PREFIX, status_code=202)
async def create(new: New) -> dict[str, str]:
    return made([new])[0]


@app.post(f"{PREFIX}/batch")
async def create_many(new: Many) -> dict[str, Any]:
    return {"tasks": made(new.tasks)}


@app.post(f"{PREFIX}/claim")
async def claim_one(claim: Claim, response: Response) -> dict[str, str]:
    found = taken(claim)
    response.status_code = 200 if found else 404
    return found[0] if found else {}


@app.post(f"{PREFIX}/claim/batch")
async def claim_many(claim: Claim) -> dict[str, Any]:
    return {"tasks": taken(claim)}


@app.post(f"{PREFIX}/batch/results")
async def results(body: Results) -> dict[str, Any]:
    done = ended(body.results)
    return {"results": [{"status": "COMPLETED"} for _ in range(done)]}


@app.post(f"{PREFIX}/{{id_}}/result")
async def result(id_: str, body: Result) -> dict[str, str]:
    body.id = id_
    return {"status": "COMPLETED" if ended([body]) else "GONE"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)
