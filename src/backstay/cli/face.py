"""What every console script shares: sub-commands imported when they are called, the nearest valid
word for a wrong one, faults as text, the exit codes of decision 11, and `--output json`."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import msgspec
from click.shell_completion import CompletionItem

from backstay import __version__
from backstay.core.errors import Exit, Fault, for_terminal
from backstay.core.nearest import nearest
from backstay.core.visible import visible

F = TypeVar("F", bound=Callable[..., Any])


class Lazy(msgspec.Struct, frozen=True):
    """Where a sub-command is (`module:attribute`) and its line in `--help`."""

    target: str
    help: str


class Group(click.Group):
    """Names the nearest sub-command when it does not know one; so do the groups made below it."""

    group_class = type

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as unknown:
            near = did_you_mean(args[0], self.list_commands(ctx))
            raise click.UsageError(f"no such command {args[0]!r}.{near}", ctx) from unknown


class LazyGroup(Group):
    """Imports the module of a sub-command only when that one is called."""

    def __init__(self, name: str, lazy: Mapping[str, Lazy], help: str) -> None:
        super().__init__(
            name=name, help=help, context_settings={"help_option_names": ["-h", "--help"]}
        )
        self._lazy = lazy
        self.params.append(
            click.Option(
                ["--version"],
                is_flag=True,
                expose_value=False,
                is_eager=True,
                callback=_version,
                help="Show the version and exit.",
            )
        )

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [name for name in self._lazy if self._there(name)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        lazy = self._lazy.get(cmd_name)
        if lazy is None or not self._there(cmd_name):
            return None
        module, _, attribute = lazy.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, self._lazy[name].help) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """As click's own, without importing every command for its line of help."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=self._lazy[name].help) for name in names]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def _there(self, name: str) -> bool:
        return importlib.util.find_spec(self._lazy[name].target.partition(":")[0]) is not None


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """` Did you mean X?`, or nothing when nothing is near."""
    near = nearest(word, known)
    return f" Did you mean {near}?" if near else ""


def output_option(command: F) -> F:
    """`--output text|json` as the parameter `output`."""
    return click.option(
        "--output",
        "-o",
        type=click.Choice(["text", "json"]),
        default="text",
        help="Text for people or JSON for programs.",
    )(command)


def data_option(command: F) -> F:
    """`--data DIR` as the parameter `data`."""
    return click.option(
        "--data",
        default=".backstay",
        show_default=True,
        envvar="BACKSTAY_DATA",
        metavar="DIR",
        help="The data folder.",
    )(command)


def server_options(*file_env: str) -> Callable[[F], F]:
    """`--listen`, `--data`, `--config` and `--debug` of a server; its settings know their defaults.
    The variables in `file_env` can name the file, too."""
    options = (
        click.option(
            "--listen",
            metavar="ADDR",
            help="HOST:PORT, :PORT or unix:/path.  [default: 127.0.0.1:8080]",
        ),
        click.option("--data", metavar="DIR", help="The data folder.  [default: .backstay]"),
        click.option(
            "--config",
            metavar="FILE.yaml",
            type=click.Path(dir_okay=False, path_type=Path),
            envvar=file_env,
            help="Settings; the environment beats them.",
        ),
        click.option(
            "--debug", is_flag=True, default=None, help="Profiles at 127.0.0.1:6060/debug/pprof/."
        ),
    )

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def tell(text: str, *, err: bool = False) -> None:
    """Print what may have words of other people in it: of users, workers, services."""
    click.echo(visible(text), err=err)


def emit_json(value: object) -> None:
    """One JSON document, indented, on standard output."""
    try:
        encoded = msgspec.json.encode(value, enc_hook=str)
    except UnicodeEncodeError:
        # A path that is no UTF-8. Escaped, it is JSON, and Python reads the same path back.
        import json

        click.echo(json.dumps(msgspec.to_builtins(value, enc_hook=str), indent=2))
        return
    click.echo(msgspec.json.format(encoded, indent=2).decode())


def main(command: click.Command, prog: str, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its code. What a command returns is its exit code."""
    try:
        code = command.main(
            args=list(arguments) if arguments is not None else None,
            prog_name=prog,
            standalone_mode=False,
        )
        sys.stdout.flush()
    except click.UsageError as bad:
        code = _usage(bad)
    except click.ClickException as bad:
        click.echo(f"error: {bad.format_message()}", err=True)
        code = Exit.USAGE
    except Fault as fault:
        click.echo(for_terminal(fault), err=True)
        code = fault.entry.exit
    except (click.Abort, KeyboardInterrupt):
        code = Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read us (`| head`) has enough; Python would complain while flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.OK
    except Exception as unknown:
        if os.environ.get("BACKSTAY_TRACE"):
            raise
        kind = type(unknown).__name__
        click.echo(
            f"error: {prog} failed on an error of its own: {kind}: {unknown}\n"
            "  fix: report it with what BACKSTAY_TRACE=1 prints",
            err=True,
        )
        code = Exit.USAGE
    sys.exit(code if isinstance(code, int) else Exit.OK)


def _usage(bad: click.UsageError) -> int:
    message = bad.format_message()
    if message.startswith("Usage: "):
        click.echo(message, err=True)  # the help itself, as no word was typed that could be wrong
        return Exit.USAGE
    if isinstance(bad, click.NoSuchOption) and bad.ctx is not None:
        known = [name for param in bad.ctx.command.get_params(bad.ctx) for name in param.opts]
        message = f"no such option {bad.option_name}.{did_you_mean(bad.option_name, known)}"
    path = bad.ctx.command_path if bad.ctx else ""
    click.echo(f"error: {message[:1].lower()}{message[1:].rstrip('.')}", err=True)
    if path:
        click.echo(f"  more: {path} --help", err=True)
    return Exit.USAGE


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"{ctx.find_root().info_name} {__version__}")
        ctx.exit()
