"""`patchgen serve` and `patchgen watch`: patchgen as a process that stays."""

import os
from pathlib import Path

import click

from backstay.cli import face
from backstay.cli.patchgen_face import output_option, strict_option


@click.command("serve")
@face.server_options("PATCHGEN_CONFIG_PATH")
@output_option
@strict_option
@click.option("--debug", is_flag=True, help="Serve /debug/pprof on 127.0.0.1:6060, too.")
def serve(
    listen: str | None,
    data: str | None,
    config: Path | None,
    output: str,
    strict: bool,
    debug: bool,
) -> int:
    """Serve POST /intent, health and readiness.  [default address: 127.0.0.1:8086]"""
    import msgspec

    from backstay.core.process import run_process
    from backstay.core.settings import Given, load
    from backstay.patchgen.settings import PatchgenSettings
    from backstay.patchgen.system import build

    flags = {
        "--listen": listen,
        "--data": data,
        "-output": output or None,
        "--strict": strict or None,
        "--debug": debug or None,
    }
    loaded = load(PatchgenSettings, Given(flags=dict(flags), env=os.environ, file=config))
    if loaded.settings.debug_log:
        debugging = msgspec.structs.replace(loaded.settings, log_level="debug")
        loaded = msgspec.structs.replace(loaded, settings=debugging)
    return run_process("patchgen", loaded, build)
