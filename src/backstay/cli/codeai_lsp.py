"""`codeai lsp`: the language server, on standard input and output."""

import logging

import click

from backstay.core.errors import Exit


@click.command("lsp")
def lsp() -> int:
    """Serve an editor over standard input and output, until it says exit.

    Diagnostics while typing, completion, hover, definition, references, outline, quick fixes. The
    .cai files of a folder are one program.
    """
    # Only this command pays for the protocol's library.
    from backstay.lang.lsp.server import make

    # Standard output belongs to the protocol; the library's chatter helps nobody.
    logging.getLogger("pygls").setLevel(logging.ERROR)
    make().start_io()
    return Exit.OK
