"""`codeai`: the language and the server of its programs."""

from backstay.cli import face
from backstay.cli.face import Lazy, LazyGroup

command = LazyGroup(
    "codeai",
    {
        "server": Lazy("backstay.cli.codeai_server:command", "Serve a program."),
        "validate": Lazy("backstay.cli.codeai_lang:validate", "Check .cai files as one program."),
        "parse": Lazy("backstay.cli.codeai_lang:parse", "Print the syntax tree of a file."),
        "fmt": Lazy("backstay.cli.codeai_fmt:fmt", "Lay out .cai files."),
        "query": Lazy("backstay.cli.codeai_query:query", "Ask the database of a program."),
        "workflow": Lazy("backstay.cli.workflow:workflow", "Look at executions and steer them."),
        "job": Lazy("backstay.cli.workflow:job", "Look at jobs, run them, cancel their runs."),
    },
    help="The .cai language and the server of its programs.",
)


def main() -> None:
    """The console script."""
    face.main(command, "codeai")


if __name__ == "__main__":
    main()
