"""The Python face: `Validator` and `PatchPackage`, as the seed names them.

intent = Validator().validate(data)          # InvalidIntent when it is none
package = PatchPackage(intent, "out")
package.generate()                           # OutputMissing, OutputDenied, Conflict, …
package.path
"""

from pathlib import Path

from backstay.core.clock import SystemClock, Uuid7
from backstay.core.errors import Fault
from backstay.patchgen.errors import NotValidated, OldType
from backstay.patchgen.model import Intent, Package, Placed, Report
from backstay.patchgen.render import render
from backstay.patchgen.service import Log
from backstay.patchgen.validate import require, validate
from backstay.patchgen.write import Durability, FolderWriter


class Validator:
    """Judges intents. `log` (optional) gets one debug line for each."""

    def __init__(self, log: Log | None = None, *, strict: bool = False) -> None:
        self._log = log
        self.strict = strict

    def validate(self, data: bytes | str) -> Intent:
        """The intent in a JSON text. Raises `InvalidIntent`, whose `report` has every mistake."""
        raw = data.encode() if isinstance(data, str) else data
        if not isinstance(raw, bytes):
            raise NotValidated(data)
        intent = require(raw, strict=self.strict)
        if self._log is not None:
            self._log.debug("intent is valid", target=intent.target, namespace=intent.namespace)
        return intent

    def report(self, data: bytes) -> Report:
        """Everything about an intent, valid or not."""
        return validate(data, strict=self.strict)

    ValidateIntent = validate


class PatchPackage:
    """The package of one intent in one output folder. Raises `NotValidated` for what is no
    `Intent`; making one writes nothing. With `dry_run` nor does `generate`: it says `planned`."""

    def __init__(
        self,
        intent: Intent,
        output_dir: str | Path,
        *,
        durability: Durability = "power",
        dry_run: bool = False,
    ) -> None:
        self.intent = intent
        self.package: Package = render(intent)
        ids = Uuid7(SystemClock())
        self._writer = FolderWriter(output_dir, ids, durability=durability, dry_run=dry_run)

    @property
    def path(self) -> Path:
        """Where the package is or will be: the same before and after `generate` (P11)."""
        return self._writer.path_of(self.package)

    def generate(self) -> Placed:
        """Put it on the disk, whole or not at all; a second time changes nothing.

        Raises the typed errors of `patchgen.errors`.
        """
        [placed] = self._writer.place([self.package])
        if isinstance(placed, Fault):
            raise placed
        return placed

    def get_package_path(self) -> str:
        """`path` as text."""
        return str(self.path)

    Generate = generate
    GetPackagePath = get_package_path


NewValidator = Validator
NewPatchPackage = PatchPackage


def as_package(given: object) -> PatchPackage:
    """The package, or `OldType` that names both types (P9)."""
    if not isinstance(given, PatchPackage):
        raise OldType(given)
    return given
