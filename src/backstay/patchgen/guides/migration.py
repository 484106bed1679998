"""From `internal/patch` to `internal/patchgen`: the four troubles of the seed."""

from backstay.core.guide import Guide, Symptom
from backstay.patchgen.guides.message import PROBE, advice, told

MIGRATION = Guide(
    id="patchgen-migration",
    title="Code still speaks to the old module",
    seed="patchgen: Common Migration Issues",
    symptoms=(
        Symptom("text", r"internal/patch\b", "the old import"),
        Symptom("text", r"patch\.Generator|as .*PatchPackage", "the old type"),
        Symptom("text", r"validation required but not performed", "no validation"),
        Symptom("text", r"GetPackagePath undefined|method GetPackagePath", "an old version"),
    ),
    probes=(PROBE,),
    causes=(
        told("old-import", "old-import", "an import names the old module", "rename-imports"),
        told("old-type", "old-type", "a generator of the old module is passed on", "new-type"),
        told(
            "not-validated", "not-validated", "an intent was not validated first", "validate-first"
        ),
        told("old-version", "old-method", "an old version is installed", "upgrade"),
    ),
    fixes=(
        advice("rename-imports", "Rename every use, once", "patchgen migrate . --write"),
        advice("new-type", "Make a package instead", "PatchPackage(intent, output_dir)"),
        advice("validate-first", "Validate, then generate", "Validator().validate(data)"),
        advice("upgrade", "Install the present version", "pip install --upgrade backstay"),
    ),
    escalation="docs/reference/patchgen.md lists the names of the library",
)
