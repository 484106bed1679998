"""`codeq-server`: the queue as a process of its own, or as a child of `backstay up`."""

import os
from pathlib import Path

import click

from backstay.cli import face
from backstay.core.errors import Plain


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@face.server_options("CODEQ_CONFIG_PATH")
@click.option(
    "--durability",
    metavar="KIND",
    help="power: an answer survives a power cut; process: only a crash.  [default: power]",
)
@click.option("--print-config", is_flag=True, help="Print a config.yaml with all defaults.")
def command(
    listen: str | None,
    data: str | None,
    config: Path | None,
    debug: bool | None,
    durability: str | None,
    print_config: bool,
) -> int:
    """Serve the codeQ task queue."""
    if print_config:
        _print_config()
        return 0
    from backstay.core.process import run_process
    from backstay.core.settings import Given, load
    from backstay.queue.settings import QueueSettings
    from backstay.queue.system import build

    flags: dict[str, Plain] = {
        "--listen": listen,
        "--data": data,
        "--debug": debug,
        "--durability": durability,
    }
    loaded = load(QueueSettings, Given(flags=flags, env=os.environ, file=config))
    return run_process("queue", loaded, build)


def _print_config() -> None:
    """Every key with its default, its meaning and the environment variable that beats it."""
    import msgspec
    import yaml

    from backstay.core.settings import Secret
    from backstay.core.settings_load import fields_of
    from backstay.queue.settings import QueueSettings

    for field in fields_of(QueueSettings):
        value = field.default
        plain = None if isinstance(value, Secret) else msgspec.to_builtins(value, enc_hook=str)
        line = yaml.safe_dump({field.key: plain or None if plain == "" else plain}).strip()
        env = ", ".join(field.option.env)
        click.echo(f"# {field.option.help}." + (f" Environment: {env}" if env else ""))
        click.echo(line.replace(": null", ":"))


def main() -> None:
    """The console script."""
    face.main(command, "codeq-server")


if __name__ == "__main__":
    main()
