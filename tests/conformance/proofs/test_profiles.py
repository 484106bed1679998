"""What the seeds type to see what a server is doing, against `codeai server` and `codeq-server`."""

import fcntl
import re
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conformance.proofs.support import (
    BIN,
    PATIENCE,
    SECRET,
    Serving,
    Target,
    app_server,
    clean_env,
    shell,
)
from tests.conformance.proofs.test_queue_statements import queue_server
from tests.e2e.stack import free_port, until

from backstay.core.clock import SystemClock
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer

POOL = 6
Pprof = Callable[..., str]
ISSUER = Issuer(Secret(SECRET), "backstay", "backstay", SystemClock())


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    target = Target()
    given = {"LOG_LEVEL": "info", "LOG_ADD_SOURCE": "true"}
    with app_server(tmp_path_factory.mktemp("c"), target.url, **given) as serving:
        yield serving
    target.close()


def url(serving: Serving, path: str) -> str:
    return f"http://127.0.0.1:{serving.port}/debug/pprof/{path}"


def bearer(*scopes: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {ISSUER.mint('ops', list(scopes), ttl=600)}"}


@pytest.mark.peer
@pytest.mark.seed("Q15")
def test_a_heap_profile_of_the_queue_opens(tmp_path: Path, pprof: Pprof) -> None:
    line = "curl -sf http://localhost:8080/debug/pprof/heap > heap.prof"
    with queue_server(tmp_path / "free") as queue:
        queue.seed(line)
        top = pprof("-top", queue.folder / "heap.prof")
        assert "Type: inuse_space" in top
        assert "builtins.dict" in top
        # A page of another site may not make this machine work; a person's own browser may.
        foreign = queue.ask("GET", "/debug/pprof/heap?trace=1", sec_fetch_site="cross-site")
        assert (foreign.status, foreign.json["code"]) == (403, "CORE014")
        assert queue.ask("GET", "/debug/pprof/heap", sec_fetch_site="none").status == 200
    # With tokens it is for admins, and one setting makes the seed's command work all the same.
    with queue_server(tmp_path / "strict", JWT_SECRET=SECRET) as queue:
        assert queue.ask("GET", "/debug/pprof/heap").status == 401
        assert queue.ask("GET", "/debug/pprof/heap", **bearer("codeq:claim")).status == 403
        assert queue.ask("GET", "/debug/pprof/heap", **bearer("admin")).status == 200
    with queue_server(tmp_path / "open", JWT_SECRET=SECRET, PROFILING="open") as queue:
        queue.seed(line)
        assert "Type: inuse_space" in pprof("-top", queue.folder / "heap.prof")
    with queue_server(tmp_path / "off", PROFILING="off") as queue:
        assert queue.ask("GET", "/debug/pprof/heap").status == 404


@pytest.mark.peer
@pytest.mark.seed("C22")
def test_profiles_of_cpu_and_memory_open_in_go(app: Serving, pprof: Pprof) -> None:
    done = threading.Event()

    def load() -> None:
        while not done.is_set():
            app.ask("GET", "/api/v1/notes")

    asking = threading.Thread(target=load)
    asking.start()
    try:
        top = pprof("-top", "-nodecount=1000", url(app, "profile?seconds=2"))
        app.seed("curl -sf http://localhost:8080/debug/pprof/profile?seconds=1 > cpu.pb.gz")
        app.seed("curl -sf http://localhost:8080/debug/pprof/heap > heap1.pb.gz")
        app.seed("curl -sf http://localhost:8080/debug/pprof/heap > heap2.pb.gz")
    finally:
        done.set()
        asking.join()
    assert "Type: cpu" in top
    assert "backstay.core.asgi.App" in top
    cpu = app.folder / "cpu.pb.gz"
    # The source itself, with what each line cost.
    listed = pprof("-list", "App.__call__", cpu)
    assert re.search(r"^ +[.\w]+ +[.\dmusn]+s +\d+: +\w.*self\.", listed, re.MULTILINE), listed
    # `web` draws what `-dot` says; drawing it is graphviz's work.
    assert "digraph" in pprof("-dot", cpu)
    first, second = app.folder / "heap1.pb.gz", app.folder / "heap2.pb.gz"
    assert first.read_bytes()[:2] == b"\x1f\x8b"
    assert "Type: inuse_space" in pprof("-top", "-base", first, second)
    assert "Type: alloc_space" in pprof("-top", "-alloc_space", url(app, "heap"))
    assert app.ask("GET", "/debug/pprof/profile?seconds=soon").status == 400
    _in_a_browser(app, cpu)


def _in_a_browser(app: Serving, profile: Path) -> None:
    port = free_port()
    home = {"HOME": str(app.folder), "PPROF_TMPDIR": str(app.folder)}
    command = ["go", "tool", "pprof", f"-http=127.0.0.1:{port}", "-no_browser", str(profile)]
    with subprocess.Popen(command, env=clean_env(**home), start_new_session=True) as page:

        def shown() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ui/top", timeout=10) as got:
                    return b"backstay.core" in got.read()
            except urllib.error.URLError:
                return False

        try:
            until(shown, PATIENCE, lambda: "go tool pprof -http shows nothing")
        finally:
            shell(f"kill -TERM -{page.pid}")


@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.seed("C22")
def test_half_a_minute_of_cpu(app: Serving, pprof: Pprof) -> None:
    assert "Duration: 30" in pprof("-top", url(app, "profile?seconds=30"))


@pytest.mark.peer
@pytest.mark.seed("C23")
def test_a_dump_has_one_line_for_each_task_and_thread_with_its_reason(
    app: Serving, pprof: Pprof
) -> None:
    app.seed("curl -s http://localhost:8080/debug/pprof/goroutine?debug=2 > goroutines.txt")
    text = (app.folder / "goroutines.txt").read_text()
    counted = int(shell(f"grep -c ^goroutine {app.folder}/goroutines.txt").stdout)
    assert counted == len(re.findall(r"^goroutine \d+ \[[a-zA-Z ]+\]:$", text, re.MULTILINE)) > 5
    assert "chan receive" in text
    assert "[running]" in text
    head = app.seed("curl -s http://localhost:8080/debug/pprof/goroutine?debug=1 | head -1")
    assert re.fullmatch(r"goroutine profile: total \d+\n", head)
    # debug=0 is a profile, as in Go.
    assert "Type: goroutine" in pprof("-top", url(app, "goroutine?debug=0"))


@pytest.mark.seed("C33")
def test_repeated_dumps_under_load_break_nothing_and_leave_nothing(app: Serving) -> None:
    def total() -> int:
        head = app.ask("GET", "/debug/pprof/goroutine?debug=1").body.partition(b"\n")[0]
        return int(head.rpartition(b" ")[2])

    def dumps(times: int) -> None:
        for _ in range(times):
            for path in ("heap", "goroutine?debug=2", "goroutine", "heap?gc=1"):
                assert app.ask("GET", f"/debug/pprof/{path}").status == 200
                assert app.ask("GET", "/api/v1/notes").status == 200

    def at_once(times: int) -> None:
        threads = [threading.Thread(target=dumps, args=(times,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    at_once(1)
    # A pool of threads fills up as it is needed; each of 64 dumps that left one would show.
    most = total() + POOL
    at_once(4)
    until(lambda: total() <= most, PATIENCE, lambda: f"{total()} stacks, not {most}")
    requests = [line for line in app.lines() if line["msg"] == "http request"]
    assert len(requests) > 100
    assert {line["status"] for line in requests} <= {200, 400}
    assert all(re.fullmatch(r"\w+\.py:\d+", line["source"]) for line in requests)
    assert {line["level"] for line in app.lines()} <= {"info", "warn", "error"}


@pytest.fixture
def port_6060() -> Iterator[None]:
    """The fixed port for this test alone, whoever else tests on this machine."""
    with Path("/tmp/backstay-port-6060.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", 6060)) == 0:
                pytest.skip("another program of this machine holds port 6060")
        yield


@pytest.mark.peer
@pytest.mark.usefixtures("port_6060")
def test_port_6060_is_open_with_debug_alone(tmp_path: Path, pprof: Pprof) -> None:
    words = [str(BIN / "codeq-server")]
    plain = Serving(tmp_path / "plain", *words, health="/healthz")
    debug = Serving(tmp_path / "debug", *words, "--debug", health="/healthz")
    second = Serving(tmp_path / "second", *words, "--debug", health="/healthz")
    try:
        plain.start()
        assert shell("curl -s http://127.0.0.1:6060/debug/pprof/").returncode == 7
        debug.start()
        top = pprof("-top", "http://localhost:6060/debug/pprof/heap")
        assert "Type: inuse_space" in top
        # One port: whoever comes second says so and does not start.
        with pytest.raises(AssertionError, match="CORE111"):
            second.start()
    finally:
        for serving in (plain, debug, second):
            serving.close()


@pytest.mark.peer
def test_the_gateway_shows_itself_and_the_systems_behind_it(tmp_path: Path, pprof: Pprof) -> None:
    with queue_server(tmp_path / "q") as queue:
        words = (str(BIN / "backstay"), "gateway", "serve")
        gateway = Serving(tmp_path / "g", *words)
        try:
            gateway.start(GATEWAY_UPSTREAMS=_behind(queue), JWT_SECRET=SECRET)
            assert gateway.ask("GET", "/debug/pprof/heap").status == 401
            assert gateway.ask("GET", "/debug/pprof/heap", **bearer("x")).status == 403
            for system in ("gateway", "queue"):
                path = f"/debug/pprof/heap?system={system}"
                answer = gateway.ask("GET", path, **bearer("admin"))
                assert answer.status == 200
                file = tmp_path / f"{system}.pb.gz"
                file.write_bytes(answer.body)
                assert "system: Total" in pprof("-tags", file)
                assert system in pprof("-tags", file)
            path = "/debug/pprof/goroutine?debug=1&system=queue"
            assert gateway.ask("GET", path, **bearer("admin")).body.startswith(b"goroutine profile")
            wrong = gateway.ask("GET", "/debug/pprof/heap?system=nobody", **bearer("admin"))
            assert (wrong.status, wrong.json["code"]) == (400, "CORE069")
        finally:
            gateway.close()


def _behind(queue: Serving) -> str:
    return (
        f'[{{"name": "queue", "address": "127.0.0.1:{queue.port}",'
        f' "control": "{queue.runtime}/queue.ctl", "routes": [{{"prefix": "/v1/codeq"}}]}}]'
    )
