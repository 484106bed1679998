"""How soon a changed program is served: from the write of its file to the first answer of a route.

    python benchmarks/app_reload.py [--runs 30] [--file examples/orders/app.cai]

The program is the orders example (with --many it has 40 endpoints more). Each run puts a file with
an endpoint of another name in its place and asks for it, 500 times a second, until it is there.
Meanwhile another process keeps asking another route over and over, four requests at a time: an
answer that is not 200 is counted. Median and slowest; all on this machine.
"""

import argparse
import http.client
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing.synchronize import Event
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from backstay.up.ports import free_port  # noqa: E402

ORDERS = ROOT / "examples" / "orders" / "app.cai"
MOST = 300
"""Milliseconds within which a change is to be served."""
MORE = "\nendpoint GET /{name} {{\n  auth: public\n  returns: paginated(Product)\n}}\n"


def ask(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", f"/api/v1/{path}")
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except OSError:
        return 0
    finally:
        connection.close()


def until_there(port: int, path: str, process: subprocess.Popen[bytes]) -> None:
    while ask(port, path) != 200:
        if process.poll() is not None:
            raise SystemExit("the server has ended")
        time.sleep(0.002)


def measure(port: int, file: Path, text: str, runs: int, process: subprocess.Popen[bytes]) -> None:
    ended, answered = multiprocessing.Event(), multiprocessing.Queue()
    pressing = multiprocessing.Process(target=press, args=(port, ended, answered), daemon=True)
    pressing.start()
    took = []
    changed = file.with_suffix(".new")
    for run in range(runs):
        began = time.perf_counter()
        changed.write_text(text + MORE.format(name=f"again{run}"))
        changed.replace(file)
        until_there(port, f"again{run}", process)
        took.append((time.perf_counter() - began) * 1000)
    ended.set()
    count, lost = answered.get(timeout=30)
    pressing.join(10)
    late = sum(each > MOST for each in took)
    print(
        f"reload: median {statistics.median(took):.0f} ms, slowest {max(took):.0f} ms of {runs};"
        f" later than {MOST} ms: {late}"
    )
    print(f"requests meanwhile: {count}, not answered 200: {lost}")


def press(port: int, ended: Event, answered: "multiprocessing.Queue[tuple[int, int]]") -> None:
    answers: list[int] = []

    def go_on() -> None:
        while not ended.is_set():
            answers.append(ask(port, "products"))

    threads = [threading.Thread(target=go_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answered.put((len(answers), sum(status != 200 for status in answers)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--file", type=Path, default=ORDERS)
    parser.add_argument("--many", action="store_true", help="repeat the first endpoint 40 times")
    given = parser.parse_args()
    text = given.file.read_text()
    if given.many:
        text += "".join(MORE.format(name=f"more{number}") for number in range(40))
    with tempfile.TemporaryDirectory() as folder:
        file, port = Path(folder) / "app.cai", free_port()
        file.write_text(text)
        env = {**os.environ, "PAYMENTS_URL": "http://127.0.0.1:9", "LOG_LEVEL": "error"}
        env["CODEQ_BASE_URL"] = "http://127.0.0.1:9"
        command = [sys.executable, "-m", "backstay.cli.codeai", "server", str(file), "--reload"]
        process = subprocess.Popen(
            [*command, "--port", str(port), "--data", f"{folder}/data"],
            env=env, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            until_there(port, "products", process)
            measure(port, file, text, given.runs, process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


if __name__ == "__main__":
    main()
