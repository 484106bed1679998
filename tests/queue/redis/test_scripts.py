"""What the scripts may use: commands that KVRocks documents, and only keys that were declared.

KVRocks itself is not run here. Its list of supported commands is held against every call.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from backstay.queue.store import lua

SCRIPTS = {path.name: path.read_text() for path in sorted(Path(lua.__file__).parent.glob("*.lua"))}
CALLS = re.compile(r"""(?:redis\.)?\bcall\(\s*([^,)]+)(?:,\s*([^,)]+))?""")

# Of those on kvrocks.apache.org/docs/supported-commands that the engine has a use for.
KVROCKS = frozenset(
    [
        "DEL",
        "EXISTS",
        "GET",
        "SET",
        "HDEL",
        "HEXISTS",
        "HGET",
        "HGETALL",
        "HINCRBY",
        "HLEN",
        "HMGET",
        "HSCAN",
        "HSET",
        "HSETNX",
        "PUBLISH",
        "TIME",
        "ZADD",
        "ZCARD",
        "ZLEXCOUNT",
        "ZRANGE",
        "ZRANGEBYLEX",
        "ZRANGEBYSCORE",
        "ZREM",
        "ZREVRANGEBYLEX",
        "ZREVRANGEBYSCORE",
        "ZSCORE",
    ]
)
# A key is declared when it is one of KEYS, or a name that was given one.
KEY = re.compile(r"KEY_[A-Z_]+|KEYS\[1\]|key|index|PLACE\[state\]|CHANNEL|unpack\(KEYS")


def calls(text: str) -> list[tuple[str, str]]:
    code = re.sub(r"--.*", "", text)
    return [(command.strip(), key.strip()) for command, key in CALLS.findall(code)]


@pytest.mark.parametrize("name", SCRIPTS)
def test_only_commands_that_kvrocks_has_are_called(name: str):
    for command, _ in calls(SCRIPTS[name]):
        assert command.strip('"') in KVROCKS, (name, command)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_key_is_a_declared_one(name: str):
    for command, key in calls(SCRIPTS[name]):
        if command == '"TIME"':
            continue  # the only one without a key
        assert KEY.fullmatch(key), (name, command, key)


@pytest.mark.parametrize("name", SCRIPTS)
def test_nothing_looks_through_all_keys(name: str):
    assert not re.search(r'"(KEYS|SCAN|FLUSH\w+|RANDOMKEY)"', SCRIPTS[name])


def test_there_are_calls_to_judge():
    assert sum(len(calls(text)) for text in SCRIPTS.values()) > 100


def test_who_runs_on_sqlite_does_not_pay_for_the_redis_client():
    code = (
        "import sys, backstay.queue.system;"
        "print([name for name in sys.modules if name.split('.')[0] in ('redis', 'hiredis')])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
