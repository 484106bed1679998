"""What the gateway costs: CPU per request, and latency beside a direct call in the same run.

    python benchmarks/gateway.py [--seconds 1.5] [--runs 3] [--connections 32]

An upstream that answers 1 KB of JSON, the gateway as `backstay gateway serve` runs it (access log,
metrics, breaker, trust on), and the load share the machine; the figures are medians of the runs.
"""

import argparse
import asyncio
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

BODY = json.dumps({"items": [{"id": n, "name": f"item {n}"} for n in range(30)]}).encode()[:1024]
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
) + BODY
ASK = b"GET /u/items?page=1 HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n"


class Upstream(asyncio.Protocol):
    """Answers each head with the same bytes."""

    def connection_made(self, transport):
        self.transport = transport
        self.rest = b""

    def data_received(self, data):
        self.rest += data
        heads = self.rest.count(b"\r\n\r\n")
        if heads:
            self.rest = self.rest.rpartition(b"\r\n\r\n")[2]
            self.transport.write(ANSWER * heads)


class Asker(asyncio.Protocol):
    """One request after the other on one connection, each timed."""

    def __init__(self, times, until):
        self.times = times
        self.until = until
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.ask()

    def ask(self):
        self.got = 0
        self.size = 0
        self.began = time.perf_counter()
        self.transport.write(ASK)

    def data_received(self, data):
        if not self.size:
            head, _, _ = data.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            assert data.startswith(b"HTTP/1.1 200"), data[:500]
            self.size = len(head) + 4 + int(length.group(1))
        self.got += len(data)
        if self.got < self.size:
            return
        now = time.perf_counter()
        self.times.append(now - self.began)
        if now < self.until:
            self.ask()
        else:
            self.transport.close()

    def connection_lost(self, exc):
        self.done.set_result(None)


async def load(connect, connections, seconds):
    """Times of all requests in seconds."""
    times = []
    until = time.perf_counter() + seconds
    made = [await connect(lambda: Asker(times, until)) for _ in range(connections)]
    await asyncio.gather(*(protocol.done for _, protocol in made))
    return times


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def scrape_cpu(port):
    """CPU seconds of the gateway so far, by its own metrics."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return float(re.search(r"process_cpu_seconds_total\{[^}]*\} (\S+)", text).group(1))


async def measure(arguments, folder, port):
    loop = asyncio.get_running_loop()

    def direct(factory):
        return loop.create_unix_connection(factory, str(folder / "u.sock"))

    def through(factory):
        return loop.create_connection(factory, "127.0.0.1", port)

    rows = []
    await load(through, arguments.connections, 0.3)
    for _ in range(arguments.runs):
        alone = await load(direct, 1, 0.3)
        alone_through = await load(through, 1, 0.3)
        plain = await load(direct, arguments.connections, arguments.seconds)
        before = await scrape_cpu(port)
        proxied = await load(through, arguments.connections, arguments.seconds)
        cpu = await scrape_cpu(port) - before
        rows.append(
            {
                "cpu_us": cpu / len(proxied) * 1e6,
                "rps_direct": len(plain) / arguments.seconds,
                "rps": len(proxied) / arguments.seconds,
                "p50_direct_ms": statistics.median(alone) * 1e3,
                "p50_ms": statistics.median(alone_through) * 1e3,
            }
        )
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def serve_upstream(path):
    async def main():
        server = await asyncio.get_running_loop().create_unix_server(Upstream, path)
        await server.serve_forever()

    uvloop.run(main())


def start(folder, port):
    """(upstream, gateway) as processes."""
    table = [{"name": "up", "address": f"unix:{folder}/u.sock", "routes": [{"prefix": "/u"}]}]
    env = os.environ | {"GATEWAY_UPSTREAMS": json.dumps(table), "BACKSTAY_RUNTIME": str(folder)}
    upstream = subprocess.Popen([sys.executable, __file__, "--upstream", str(folder / "u.sock")])
    gateway = subprocess.Popen(
        [
            *(sys.executable, "-m", "backstay.cli.backstay", "gateway", "serve"),
            *("--listen", f"127.0.0.1:{port}", "--data", str(folder / "data")),
        ],
        env=env,
        stdout=subprocess.DEVNULL,
    )
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.01)
    return upstream, gateway


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--upstream", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.upstream:
        serve_upstream(arguments.upstream)
        return
    with tempfile.TemporaryDirectory(prefix="bsgw") as name:
        folder, port = Path(name), free_port()
        processes = start(folder, port)
        try:
            found = uvloop.run(measure(arguments, folder, port))
        finally:
            for process in processes:
                process.terminate()
                process.wait()
    print(f"CPU of the gateway per request   {found['cpu_us']:8.1f} us")
    print(f"requests/s direct                {found['rps_direct']:8.0f}")
    print(f"requests/s through the gateway   {found['rps']:8.0f}")
    print(f"p50 direct, one client           {found['p50_direct_ms']:8.3f} ms")
    print(f"p50 through the gateway          {found['p50_ms']:8.3f} ms")
    print(f"added latency                    {found['p50_ms'] - found['p50_direct_ms']:8.3f} ms")


if __name__ == "__main__":
    main()
