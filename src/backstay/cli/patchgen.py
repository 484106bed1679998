"""`patchgen`: intents to packages. Sub-commands come in when called, so each starts fast."""

from backstay.cli import face
from backstay.cli.face import Lazy, LazyGroup

_INTENTS = "backstay.cli.patchgen_intents"
_PACKAGES = "backstay.cli.patchgen_packages"
_HELP = "backstay.cli.patchgen_help"

command = LazyGroup(
    "patchgen",
    {
        "validate": Lazy(f"{_INTENTS}:validate", "Judge intents from files or standard input."),
        "generate": Lazy(f"{_INTENTS}:generate", "Make the package of one intent."),
        "explain": Lazy(f"{_INTENTS}:explain", "Where each field and each millisecond came from."),
        "batch": Lazy("backstay.cli.patchgen_batch:batch", "Make the packages of many intents."),
        "diff": Lazy(f"{_PACKAGES}:diff", "What a package would change."),
        "verify": Lazy(f"{_PACKAGES}:verify", "Whether a package is what its intent makes."),
        "undo": Lazy(f"{_PACKAGES}:undo", "The package that takes another one back."),
        "conflicts": Lazy(f"{_PACKAGES}:conflicts", "Packages that fight over one workload."),
        "diagnose": Lazy(
            f"{_HELP}:diagnose", "The diagnostic report; of a path, who may write it."
        ),
        "errors": Lazy(f"{_HELP}:errors", "What an error message means, and what helps."),
        "support": Lazy(f"{_HELP}:support", "Levels, priorities, and the bundle for support."),
        "migrate": Lazy(f"{_HELP}:migrate", "Find and rename uses of the old module."),
        "schema": Lazy(f"{_HELP}:schema", "Print the JSON Schema of an intent."),
        "watch": Lazy(
            "backstay.cli.patchgen_server:watch", "Turn intents in a folder to packages."
        ),
        "serve": Lazy("backstay.cli.patchgen_server:serve", "Serve POST /intent."),
        "completion": Lazy(
            "backstay.cli.completion:completion", "What to put into the shell's start file."
        ),
        "version": Lazy(f"{_HELP}:version", "Versions of generator and schema."),
    },
    help="From an intent to a package that Kubernetes tools accept.",
)


def main() -> None:
    """The console script."""
    face.main(command, "patchgen")


if __name__ == "__main__":
    main()
