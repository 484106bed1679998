"""`codeai lsp`: the language server, on standard input and output."""

import gc
import logging

import click

from backstay.core.errors import Exit


@click.command("lsp")
def lsp() -> int:
    """Serve an editor over standard input and output, until it says exit.

    Diagnostics while typing, completion, hover, definition, references, outline, formatting, quick
    fixes. The .cai files of a folder are one program.
    """
    # Only this command pays for the protocol's library.
    from backstay.lang.lsp.features import make

    # Trees make no cycles; looking for some every few thousand nodes doubles the slowest keys.
    gc.set_threshold(50_000, 20, 100)
    # Standard output belongs to the protocol; the library's chatter helps nobody.
    logging.getLogger("pygls").setLevel(logging.ERROR)
    make().start_io()
    return Exit.OK
