"""`codeai`: the language and the server of its programs."""

from backstay.cli import face
from backstay.cli.face import Lazy, LazyGroup

command = LazyGroup(
    "codeai",
    {
        "server": Lazy("backstay.cli.codeai_server:command", "Serve a program."),
        "dev": Lazy("backstay.cli.codeai_dev:dev", "Serve a program and take its changes."),
        "migrate": Lazy("backstay.cli.codeai_migrate:migrate", "Bring the tables to the program."),
        "seed": Lazy("backstay.cli.codeai_seed:seed", "Give a running server its first rows."),
        "validate": Lazy("backstay.cli.codeai_lang:validate", "Check .cai files as one program."),
        "parse": Lazy("backstay.cli.codeai_lang:parse", "Print the syntax tree of a file."),
        "lsp": Lazy("backstay.cli.codeai_lsp:lsp", "Serve an editor: the language server."),
        "run": Lazy("backstay.cli.codeai_run:run_script", "Run the script part of a program."),
        "test": Lazy("backstay.cli.codeai_test:test", "Run the tests of a program."),
        "fmt": Lazy("backstay.cli.codeai_fmt:fmt", "Lay out .cai files."),
        "explain": Lazy("backstay.cli.codeai_explain:explain", "Say what a program makes."),
        "openapi": Lazy("backstay.cli.codeai_explain:openapi", "Print its OpenAPI document."),
        "new": Lazy("backstay.cli.codeai_new:new", "Make a folder with a program."),
        "query": Lazy("backstay.cli.codeai_query:query", "Ask the database of a program."),
        "workflow": Lazy("backstay.cli.workflow:workflow", "Look at executions and steer them."),
        "event": Lazy("backstay.cli.event:event", "Look at events, publish them, send them again."),
        "keys": Lazy("backstay.cli.codeai_keys:keys", "Make, show, rotate and revoke API keys."),
        "audit": Lazy("backstay.cli.codeai_keys:audit", "Show who changed what."),
        "job": Lazy("backstay.cli.workflow:job", "Look at jobs, run them, cancel their runs."),
        "completion": Lazy(
            "backstay.cli.completion:completion", "What to put into the shell's start file."
        ),
        "version": Lazy("backstay.cli.codeai_version:version", "Print the version."),
    },
    help="The .cai language and the server of its programs.",
)


def main() -> None:
    """The console script."""
    face.main(command, "codeai")


if __name__ == "__main__":
    main()
