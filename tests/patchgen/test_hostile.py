"""Many at once, small disks, folders that change, names and bodies that nobody would send."""

import json
import os
import re
import resource
import subprocess
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from tests.patchgen.support import BIN, PATIENCE, names_in, patchgen, text_of
from tests.patchgen.test_guides import NAMESPACE
from tests.servers.running import until

from backstay.patchgen.packages import verify
from backstay.patchgen.write import STAGE_PREFIX
from backstay.up.ports import free_port

QUICK = ("--period", "50ms", "--settle", "50ms", "--durability", "process")


def started(*words: str | Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [BIN / "patchgen", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def lines(path: Path, count: int) -> Path:
    path.write_bytes(b"\n".join(text_of(target=f"app-{n}") for n in range(count)))
    return path


def log_of(folder: Path) -> bytes:
    return (folder / "log").read_bytes()


def all_whole(out: Path, count: int) -> None:
    assert len(names_in(out)) == count
    for name in names_in(out):
        assert verify(out / name).name == name


def test_one_intent_by_many_processes_while_others_sweep(tmp_path: Path) -> None:
    out, intent, many = tmp_path / "out", tmp_path / "intent.json", tmp_path / "many.jsonl"
    out.mkdir()
    intent.write_bytes(text_of(target="app-0"))
    lines(many, 40)
    words = [("generate", "-intent", intent)] * 8 + [("batch", many, "--group", "4")] * 4
    running = [started(*one, "-output", out) for one in words]
    ended = [(process.communicate(timeout=PATIENCE), process.returncode) for process in running]
    assert [code for _, code in ended] == [0] * len(words), ended
    all_whole(out, 40)


def test_an_output_link_that_is_turned_all_the_time_gets_whole_packages_on_both_sides(
    tmp_path: Path,
) -> None:
    link, sides, over = tmp_path / "out", [tmp_path / "a", tmp_path / "b"], threading.Event()
    for side in sides:
        side.mkdir()
    link.symlink_to(sides[0])

    def turn() -> None:
        while not over.is_set():
            for side in sides:
                (tmp_path / "next").symlink_to(side)
                (tmp_path / "next").rename(link)

    turning = threading.Thread(target=turn)
    turning.start()
    try:
        many = lines(tmp_path / "in.jsonl", 150)
        words = ("batch", many, "-output", link, "--group", "3", "--durability", "process")
        running = [started(*words) for _ in range(3)]
        told = [(process.communicate(timeout=PATIENCE), process.returncode) for process in running]
    finally:
        over.set()
        turning.join(PATIENCE)
    assert [code for _, code in told] == [0] * 3, told
    for side in sides:
        all_whole(side, len(names_in(side)))
    assert {name for side in sides for name in names_in(side)} >= set(names_in(sides[0]))
    assert len({name for side in sides for name in names_in(side)}) == 150


@pytest.mark.parametrize("disk", ["size=1300k", "size=2m", "size=40m,nr_inodes=300"])
def test_a_disk_that_fills_during_a_batch_holds_whole_packages_and_goes_on_with_room(
    tmp_path: Path, disk: str
) -> None:
    many, place = lines(tmp_path / "in.jsonl", 120), tmp_path / "disk"
    place.mkdir()
    out = place / "out"
    batch = f"{BIN}/patchgen batch {many} -output {out} --group 16"
    script = (
        f"mount -t tmpfs -o {disk} tmpfs {place} && mkdir {out}; {batch}; echo exit $?; "
        f"ls -A {out} | grep -c ^app; ls -A {out} | grep -c '^{STAGE_PREFIX}'; "
        f"{BIN}/patchgen verify {out}/app*; echo whole $?; "
        f"mount -o remount,size=40m,nr_inodes=9000 {place}; {batch}; echo exit $?; "
        f"{BIN}/patchgen verify {out}/*; echo whole $?"
    )
    done = subprocess.run(
        [*NAMESPACE, "bash", "-c", script], capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    assert re.findall(r"^(exit|whole) (\d)$", done.stdout, re.MULTILINE) == [
        ("exit", "1"), ("whole", "0"), ("exit", "0"), ("whole", "0"),
    ], done.stdout + done.stderr  # fmt: skip
    there, left = map(int, re.findall(r"^(\d+)$", done.stdout, re.MULTILINE))
    assert 0 < there < 120
    assert left == 0
    assert f"{120 - there} written, {there} unchanged, 0 failed" in done.stdout
    wanted = "no inode" if "nr_inodes" in disk else "free some space"
    assert wanted in done.stderr


def test_a_limit_on_the_size_of_files_is_said_and_nothing_remains(tmp_path: Path) -> None:
    done = subprocess.run(
        [BIN / "patchgen", "generate", "-intent", "-", "-output", tmp_path],
        input=text_of(), capture_output=True, timeout=PATIENCE, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200)),
    )  # fmt: skip
    assert done.returncode == 1
    assert b"file too large" in done.stderr
    assert b"ulimit -f" in done.stderr
    assert names_in(tmp_path) == []


def test_file_names_that_are_too_long_or_no_text_do_not_stop_a_watch(tmp_path: Path) -> None:
    """Their status files had names that no file system takes, and the watch ended with them."""
    inbox, out = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()
    out.mkdir()
    odd = [b"a" * 250, b"a" * 249 + b"b", b"\xff\xfe", b"line\nbreak", "é".encode() * 120]
    for number, name in enumerate(odd):
        (inbox / os.fsdecode(name + b".json")).write_bytes(text_of(replicas=number))
    broken = os.fsdecode(b"\xfe" + b"c" * 249 + b".json")
    (inbox / broken).write_bytes(b"{}")
    done = patchgen("watch", str(inbox), "-output", str(out), "--once", *QUICK)
    assert done.returncode == 1, done.stderr
    assert len(names_in(out)) == len(names_in(inbox / "processed")) == len(odd)
    assert len(names_in(inbox / "status")) == len(odd) + 1
    [log, failed] = sorted(
        names_in(inbox / "failed"), key=lambda name: name != broken, reverse=True
    )
    assert failed == broken
    assert log.endswith(".error.log")
    files = [json.loads(path.read_text())["intent_file"] for path in (inbox / "status").iterdir()]
    assert "\\xff\\xfe.json" in files


def test_a_watch_lives_on_when_its_folders_go_and_come_back(tmp_path: Path) -> None:
    inbox, out = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()
    out.mkdir()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [BIN / "patchgen", "watch", inbox, "-output", out, *QUICK], stdout=log, stderr=log
        )
    try:
        until((inbox / "status").is_dir, "it has begun", PATIENCE)
        (inbox / "status").rename(tmp_path / "status")
        for number in range(12):
            (inbox / f"{number}.json").write_bytes(text_of(replicas=number))
        until(lambda: b"cannot be ended" in log_of(tmp_path), "it says so", PATIENCE)
        inbox.rename(tmp_path / "elsewhere")
        until(lambda: b"cannot be looked at" in log_of(tmp_path), "it says so", PATIENCE)
        (tmp_path / "elsewhere").rename(inbox)
        (tmp_path / "status").rename(inbox / "status")
        until(lambda: len(names_in(inbox / "processed")) == 12, "all are made", PATIENCE)
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0
    all_whole(out, 12)


def test_one_package_that_cannot_be_compared_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """Whatever is in its place is deeper than a path can be long: that can be compared by nobody."""
    inbox, out = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()
    out.mkdir()
    (inbox / "0.json").write_bytes(text_of(target="poison"))
    assert (
        patchgen("generate", "-intent", str(inbox / "0.json"), "-output", str(out)).returncode == 0
    )
    [poison] = out.iterdir()
    for number in range(1, 4):
        (inbox / f"{number}.json").write_bytes(text_of(replicas=number))
    place = os.open(poison, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=place)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [BIN / "patchgen", "watch", inbox, "-output", out, *QUICK], stdout=log, stderr=log
        )
    try:
        until(lambda: len(names_in(out)) == 4, "the others are made", PATIENCE)
        assert (inbox / "0.json").is_file()
        assert b"file name too long" in log_of(tmp_path)
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_a_path_that_is_no_utf_8_is_told_as_json(tmp_path: Path) -> None:
    out = tmp_path / os.fsdecode(b"\xff")
    out.mkdir()
    done = patchgen(
        "generate", "-intent", "-", "-output", str(out), "--format", "json", text=text_of().decode()
    )
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["placed"]["path"]).is_dir()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    port = free_port()
    process = subprocess.Popen(
        [BIN / "patchgen", "serve"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PATCHGEN_OUTPUT_DIR": str(tmp_path), "PATCHGEN_LISTEN": f"127.0.0.1:{port}"},
    )  # fmt: skip

    def answers() -> bool:
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    try:
        until(answers, "it answers", PATIENCE)
        yield port, tmp_path
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_a_body_without_a_length_is_cut_at_the_cap_and_leaves_nothing(
    served: tuple[int, Path],
) -> None:
    port, out = served
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("POST", "/intent", iter([b" " * 65_536] * 32), encode_chunked=True)
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["error"]) == (413, "Request too large")
    connection.close()
    for body in (b"7\r\n{", b"zz\r\n", b"ffffffffffffffffff\r\n"):
        raw = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        raw.connect()
        raw.sock.sendall(
            b"POST /intent HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n" + body
        )
        raw.sock.shutdown(1)
        assert raw.sock.recv(12) == b"HTTP/1.1 400"
        raw.close()
    assert names_in(out) == []
