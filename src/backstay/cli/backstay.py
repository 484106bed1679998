"""`backstay`: everything that is not one system's own command. Sub-commands come in when called."""

from backstay.cli import face
from backstay.cli.face import Lazy, LazyGroup

command = LazyGroup(
    "backstay",
    {
        "up": Lazy("backstay.cli.up:command", "Start everything and keep it running."),
        "status": Lazy("backstay.cli.running:status", "What runs, where, since when."),
        "logs": Lazy("backstay.cli.running:logs", "What the processes printed."),
        "restart": Lazy("backstay.cli.running:restart", "Drain one process and start it anew."),
        "down": Lazy("backstay.cli.running:down", "Drain and stop everything."),
        "doctor": Lazy("backstay.cli.doctor:command", "Find out what is wrong, and why."),
        "config": Lazy("backstay.cli.config:command", "The settings in force and their origin."),
        "explain": Lazy("backstay.cli.explain:command", "What an error code means."),
        "token": Lazy("backstay.cli.token:command", "A token of the development issuer."),
        "gateway": Lazy("backstay.cli.gateway:command", "The gateway alone, and its breakers."),
        "backup": Lazy(
            "backstay.cli.backup:backup", "Copy all stores, consistently, while they run."
        ),
        "restore": Lazy("backstay.cli.backup:restore", "Put a backup in place of the stores."),
        "completion": Lazy(
            "backstay.cli.completion:completion", "What to put into the shell's start file."
        ),
        "reset": Lazy("backstay.cli.running:reset", "Delete the data folder."),
    },
    help="A backend in one package that knows why it broke.",
)


def main() -> None:
    """The console script."""
    face.main(command, "backstay")


if __name__ == "__main__":
    main()
