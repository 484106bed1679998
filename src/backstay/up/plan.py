"""The composition: from what the user asked for to the list of processes, frozen before any starts.

This is the one place that knows which system runs by which command, on which address, and what
each is handed in its environment.
"""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from backstay.core.errors import Fault
from backstay.up.errors import NO_APP_FILE, NOTHING_TO_START
from backstay.up.ports import remembered
from backstay.up.project import Extra, Project

FIRST, MIDDLE, LATE, LAST = range(4)
"""Drain order: the gateway stops taking requests before what is behind it goes away."""


class ChildSpec(msgspec.Struct, frozen=True):
    """One process. `control` is set for our own systems: they drain by their pipe and tell over
    that socket that they are ready; others get SIGTERM and are asked at `ready_url`, if at all. It
    is first started once those named in `after` are ready, given up, or take too long."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = {}
    cwd: Path | None = None
    address: str = ""
    control: Path | None = None
    ready_url: str = ""
    port: int = 0
    drain_order: int = LATE
    after: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """All that the supervisor needs to know. `seed` is a command, run in `home`; `tries` are lines
    for the table; `settings` are the supervisor's own, as people may see them."""

    data: Path
    runtime: Path
    host: str
    port: int
    children: tuple[ChildSpec, ...]
    app_file: Path | None = None
    home: Path | None = None
    seed: tuple[str, ...] = ()
    tries: tuple[str, ...] = ()
    settings: tuple[Mapping[str, object], ...] = ()

    @property
    def base_url(self) -> str:
        return f"http://{self.host}:{self.port}"


class Wish(msgspec.Struct, frozen=True):
    """What was asked for. `configs` has a file for each system that has one. `jwt_secret` is the
    development issuer's, for programs that read `env("JWT_SECRET")`; empty when that is set.
    `egress_allow` is what EGRESS_ALLOW says already. `packages`: patchgen has a folder to write to
    (PATCHGEN_OUTPUT_DIR), and is wanted."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 8080
    app_file: Path | None = None
    configs: Mapping[str, Path] = {}
    jwt_secret: str = ""
    egress_allow: str = ""
    packages: bool = False


def compose(wish: Wish, runtime: Path, project: Project) -> Plan:
    """Raises UP005 when the program cannot be read, UP017 when no system is installed."""
    app_file = _readable(wish.app_file)
    data = wish.data.absolute()
    ports = remembered(data, [name for name, extra in project.processes.items() if _wants(extra)])
    places = {
        "queue": ("CODEQ_BASE_URL", f"unix:{runtime / 'queue.sock'}"),
        "gateway": ("BACKSTAY_URL", f"http://{wish.host}:{wish.port}"),
    }
    home = home_of(app_file)
    extras: list[ChildSpec] = []
    provided: dict[str, str] = {}
    for name, extra in project.processes.items():
        words = {"python": sys.executable, "data": str(data), "port": str(ports.get(name, 0))}
        extras.append(_extra(name, extra, words, places, home))
        provided |= {key: _fill(value, words) for key, value in extra.provides.items()}
    systems = _systems(wish, data, runtime, app_file, provided)
    if not systems and not extras:
        raise Fault(NOTHING_TO_START)
    words = {"python": sys.executable, "data": str(data)}
    return Plan(
        data=data,
        runtime=runtime,
        host=wish.host,
        port=wish.port,
        children=(*systems, *extras),
        app_file=app_file,
        home=home,
        seed=tuple(_fill(word, words) for word in project.seed),
        tries=project.tries,
    )


def _systems(
    wish: Wish, data: Path, runtime: Path, app_file: Path | None, provided: Mapping[str, str]
) -> list[ChildSpec]:
    def common(name: str) -> tuple[str, ...]:
        file = wish.configs.get(name)
        return ("--data", str(data), *(("--config", str(file)) if file else ()))

    found = []
    if _exists("codeq_server"):
        command = _module(
            "codeq_server", "--listen", f"unix:{runtime / 'queue.sock'}", *common("queue")
        )
        found.append(_system("queue", command, runtime, drain_order=LAST))
    if app_file and _exists("codeai"):
        env = {"CODEQ_BASE_URL": f"unix:{runtime / 'queue.sock'}", **provided}
        if provided:
            # What runs beside it is meant to be called; everything else near stays closed.
            env["EGRESS_ALLOW"] = ",".join(filter(None, (wish.egress_allow, "loopback")))
        if wish.jwt_secret:
            env["JWT_SECRET"] = wish.jwt_secret
        listen = f"unix:{runtime / 'app.sock'}"
        command = _module(
            "codeai", "server", str(app_file), "--migrate", "--listen", listen, *common("app")
        )
        found.append(_system("app", command, runtime, drain_order=MIDDLE, env=env))
    if (wish.packages or "patchgen" in wish.configs) and _exists("patchgen"):
        listen = f"unix:{runtime / 'patchgen.sock'}"
        command = _module("patchgen", "serve", "--listen", listen, *common("patchgen"))
        found.append(_system("patchgen", command, runtime, drain_order=LATE))
    if _exists("gateway"):
        listen = f"{wish.host}:{wish.port}"
        command = _module("backstay", "gateway", "serve", "--listen", listen, *common("gateway"))
        gateway = _system("gateway", command, runtime, drain_order=FIRST)
        # After what it asks for its health: its first answer is then the true one.
        behind = tuple(spec.name for spec in found)
        found.append(
            msgspec.structs.replace(
                gateway, address=f"http://{listen}", port=wish.port, after=behind
            )
        )
    return found


def _system(
    name: str,
    command: tuple[str, ...],
    runtime: Path,
    *,
    drain_order: int,
    env: Mapping[str, str] | None = None,
) -> ChildSpec:
    return ChildSpec(
        name=name,
        command=command,
        env=env or {},
        address=f"unix:{runtime / name}.sock",
        control=runtime / f"{name}.ctl",
        drain_order=drain_order,
    )


def _extra(
    name: str,
    extra: Extra,
    words: Mapping[str, str],
    places: Mapping[str, tuple[str, str]],
    home: Path | None,
) -> ChildSpec:
    env = dict(places[need] for need in extra.needs)
    env |= {key: _fill(value, words) for key, value in extra.env.items()}
    port = int(words["port"])
    return ChildSpec(
        name=name,
        command=tuple(_fill(word, words) for word in extra.command),
        env=env,
        cwd=home,
        address=f"http://127.0.0.1:{port}" if port else "",
        ready_url=_fill(extra.ready, words),
        port=port,
        drain_order=LATE,
        after=extra.needs,
    )


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"backstay.cli.{name}", *arguments)


def _exists(name: str) -> bool:
    return importlib.util.find_spec(f"backstay.cli.{name}") is not None


def _wants(extra: Extra) -> bool:
    said = (*extra.command, extra.ready, *extra.provides.values(), *extra.env.values())
    return any("{port}" in text for text in said)


def _fill(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace("{" + word + "}", value)
    return text


def home_of(app_file: Path | None) -> Path | None:
    """The folder of a program: where `backstay.yaml` is, and where extra processes run."""
    if app_file is None:
        return None
    return app_file if app_file.is_dir() else app_file.parent


def _readable(file: Path | None) -> Path | None:
    if file is None:
        return None
    try:
        if file.is_dir():
            next(file.iterdir(), None)
        else:
            file.open("rb").close()
    except OSError as failed:
        raise Fault(NO_APP_FILE, file=str(file), reason=failed.strerror or "?") from failed
    return file.absolute()
