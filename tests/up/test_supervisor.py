"""What the supervisor promises, with real processes: signals, crashes, orphans, two folders."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.up.conftest import Up, alive, until

from backstay.up.ports import free_port

SLEEPER = "import time; time.sleep(3600)"


def test_ctrl_c_drains_in_order_and_leaves_nothing(up) -> None:
    one: Up = up("queue", "app", "gateway", f"worker=extra:{SLEEPER}")
    one.until_shown()
    pids = one.pids()
    assert len(pids) == 4
    one.signal(signal.SIGINT)
    assert one.wait() == 0
    text = one.text()
    drained = [text.index(f"{name} stopped") for name in ("gateway", "app", "queue")]
    assert drained == sorted(drained)
    assert not any(map(alive, pids))
    assert {p["state"] for p in one.state()["processes"].values()} == {"stopped"}
    assert one.state()["processes"]["queue"]["last_exit"]["code"] == 0


def test_the_table_names_what_runs_and_what_to_try(up) -> None:
    one: Up = up("queue", "gateway")
    one.until_shown()
    text = one.text()
    assert f"http://127.0.0.1:{one.port}/health" in text
    assert "backstay doctor" in text
    assert "NO AUTHENTICATION" in text
    assert "\x1b[" not in text
    rows = [line.split() for line in text.splitlines()]
    assert ["queue", "ready", f"unix:{one.runtime}/queue.sock", str(one.pids()[0])] in rows


def test_what_is_suspended_is_woken_to_drain(up) -> None:
    one: Up = up("queue", "sleeper=extra:import time; time.sleep(3600)")
    one.until_shown()
    for pid in one.pids():
        os.kill(pid, signal.SIGSTOP)
    one.signal(signal.SIGINT)
    assert one.wait(10) == 0
    assert "not drained" not in one.text()
    assert "stopped; the data stay in" in one.text()


def test_a_second_ctrl_c_forces(up) -> None:
    one: Up = up("queue=stuck", "gateway")
    one.until_shown()
    pids = one.pids()
    one.signal(signal.SIGINT)
    until(lambda: "queue drains" in one.text())
    one.signal(signal.SIGINT)
    assert one.wait(5) == 130
    assert not any(map(alive, pids))


def test_a_killed_supervisor_leaves_no_orphan_and_can_be_followed(up) -> None:
    grandchild = (
        "import subprocess, sys, time;"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)']);"
        "print('grandchild', p.pid, flush=True); time.sleep(3600)"
    )
    one: Up = up("queue", "gateway", f"worker=extra:{grandchild}")
    one.until_shown()
    until(lambda: "grandchild" in one.text())
    grand = int(one.text().partition("grandchild ")[2].split()[0])
    pids = one.pids()
    one.signal(signal.SIGKILL)
    one.wait()
    until(lambda: not any(map(alive, pids)), 5)

    two: Up = up("queue", "gateway", f"worker=extra:{SLEEPER}", data=one.data)
    two.until_shown()
    assert not alive(grand)
    assert two.phase("queue") == "ready"
    assert two.state()["processes"]["queue"]["restarts"] == 0
    two.signal(signal.SIGTERM)
    assert two.wait() == 0


def test_a_second_supervisor_is_refused_naming_the_first(up, tmp_path: Path) -> None:
    one: Up = up("queue")
    one.until_shown()
    two: Up = up("queue", port=free_port())
    assert two.wait() == 1
    assert "CORE010" in two.text()
    assert str(one.process.pid) in two.text()
    assert one.phase("queue") == "ready"


def test_a_killed_child_is_started_again_and_its_end_is_kept(up) -> None:
    one: Up = up("queue", "gateway")
    one.until_shown()
    before = one.state()["processes"]["queue"]
    os.kill(before["pid"], signal.SIGKILL)
    until(lambda: one.state()["processes"]["queue"]["restarts"] == 1)
    until(lambda: one.phase("queue") == "ready")
    after = one.state()["processes"]["queue"]
    assert after["pid"] != before["pid"]
    assert after["last_exit"]["reason"] == "ended by SIGKILL"
    assert after["last_exit"]["code"] == -9
    assert one.state()["processes"]["gateway"]["restarts"] == 0


def test_a_crash_loop_is_given_up_and_the_rest_goes_on(up) -> None:
    one: Up = up("gateway", "bad=extra:raise SystemExit(3)")
    until(lambda: one.phase("bad") == "gave_up", 20)
    bad = one.state()["processes"]["bad"]
    assert bad["last_exit"]["code"] == 3
    assert bad["restarts"] == 4
    assert one.phase("gateway") == "ready"
    one.until_shown()
    assert "NOT READY: bad" in one.text()
    one.signal(signal.SIGINT)
    assert one.wait() == 0


def test_a_system_that_refuses_its_settings_ends_the_start(up) -> None:
    one: Up = up("queue", "app=usage")
    assert one.wait() == 2
    assert "line 3 is wrong" in one.text()
    assert one.text().count("TEST002") < 4
    assert one.phase("queue") == "stopped"


def test_a_taken_port_is_told_within_a_second_naming_its_holder(up) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        began = time.monotonic()
        one: Up = up("gateway", port=port)
        code = one.wait()
        took = time.monotonic() - began
    assert code == 4
    assert f"port {port} on 127.0.0.1 is taken by" in one.text()
    assert f"(pid {os.getpid()})" in one.text()
    assert took < 3  # with the start of the interpreter on a busy machine


def test_two_data_folders_side_by_side(up, tmp_path: Path) -> None:
    one: Up = up("queue", "gateway", data=tmp_path / "one")
    two: Up = up("queue", "gateway", data=tmp_path / "two", port=free_port())
    one.until_shown()
    two.until_shown()
    assert not set(one.pids()) & set(two.pids())
    one.signal(signal.SIGINT)
    assert one.wait() == 0
    assert two.phase("queue") == "ready"
    assert all(map(alive, two.pids()))


def test_a_process_that_ignores_sigterm_ends_with_the_supervisor_forced(up) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('deaf', flush=True); time.sleep(3600)"
    )
    one: Up = up(f"worker=extra:{deaf}")
    until(lambda: "deaf" in one.text())
    one.until_shown()
    pids = one.pids()
    one.signal(signal.SIGINT)
    until(lambda: "draining" in one.text())
    one.signal(signal.SIGINT)
    assert one.wait(5) == 130
    assert not any(map(alive, pids))


def test_logs_are_kept_per_process_and_together(up) -> None:
    one: Up = up(
        "queue", "chatter=extra:print('hello from outside')\nimport time\ntime.sleep(3600)"
    )
    one.until_shown()
    until(lambda: "hello from outside" in one.text())
    assert (one.data / "logs" / "chatter.log").read_text() == "hello from outside\n"
    together = (one.data / "logs" / "all.log").read_text()
    assert "chatter | hello from outside\n" in together
    assert (
        subprocess.run(["stat", "-c", "%a", one.data / "logs"], capture_output=True).stdout
        == b"700\n"
    )


def test_what_needs_the_queue_starts_once_the_queue_is_ready(up) -> None:
    look = "import os, time; there = os.path.exists(os.environ['BACKSTAY_RUNTIME'] + '/queue.ctl'); print('queue there:', there, flush=True); time.sleep(3600)"
    one: Up = up(f"worker=after-queue:{look}", "queue")
    one.until_shown()
    until(lambda: "queue there:" in one.text())
    assert "queue there: True" in one.text()
    one.signal(signal.SIGINT)
    assert one.wait() == 0


def test_ctrl_c_while_it_still_starts_ends_it(up) -> None:
    one: Up = up("queue", "worker=extra:print('begun', flush=True)\nimport time\ntime.sleep(3600)")
    until(lambda: one.process.poll() is not None or "begun" in one.text())
    one.signal(signal.SIGINT)
    assert one.wait() == 0
    assert {p["state"] for p in one.state()["processes"].values()} == {"stopped"}
