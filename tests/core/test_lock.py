"""One owner for each folder and file; a second one learns who the first is."""

import os
import subprocess
import sys

import pytest

from backstay.core.errors import Fault
from backstay.core.lock import Lock

HOLD = """
import sys, pathlib
from backstay.core.lock import Lock
Lock(pathlib.Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def owner(tmp_path):
    """Another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_told_pid_and_command_of_the_first(tmp_path, owner):
    with pytest.raises(Fault) as caught:
        Lock(tmp_path).acquire()
    assert caught.value.entry.code == "CORE010"
    assert caught.value.values["pid"] == owner.pid
    assert str(tmp_path) in str(caught.value.values["command"])


def test_a_killed_owner_leaves_no_lock(tmp_path, owner):
    owner.kill()
    owner.wait()
    with Lock(tmp_path):
        pass


def test_two_locks_of_one_process_exclude_each_other_until_released(tmp_path):
    store = tmp_path / "queue.db"
    first = Lock(store).acquire()
    with pytest.raises(Fault, match=f"CORE010.*{os.getpid()}"):
        Lock(store).acquire()
    first.release()
    first.release()
    with Lock(store):
        assert not store.exists()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(Fault, match=r"CORE011.*absent"):
        Lock(tmp_path / "absent" / "queue.db").acquire()


def test_a_lock_on_a_disk_without_room_is_a_fault_and_not_held(tmp_path):
    code = """
import pathlib, resource, sys
from backstay.core.errors import Fault
from backstay.core.lock import Lock
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
try:
    Lock(pathlib.Path(sys.argv[1])).acquire()
except Fault as fault:
    print(fault.entry.code)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
Lock(pathlib.Path(sys.argv[1])).acquire()
print("held")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=30
    )
    assert done.stdout.split() == ["CORE011", "held"], done.stderr
