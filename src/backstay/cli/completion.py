"""`completion SHELL` of every command."""

import click

_SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """What to put into the shell's start file: eval "$(NAME completion bash)"."""
    from click.shell_completion import get_completion_class

    maker = get_completion_class(shell)
    root = ctx.find_root()
    name = root.info_name
    if maker is None or name is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(maker(root.command, {}, name, f"_{name.upper()}_COMPLETE").source())
