"""Packages and manifests that are there: PATCH080–PATCH089."""

from backstay.core.errors import ErrorEntry, Exit

NOT_A_PACKAGE = ErrorEntry(
    code="PATCH080",
    message="{path} is not a package of patchgen: {reason}",
    cause="a package is a folder that patchgen generate made",
    fix="name the folder that generate printed",
    exit=Exit.USAGE,
)
TAMPERED = ErrorEntry(
    code="PATCH081",
    message="package {name} is not what its intent makes: {files}",
    cause="files were changed, added or removed after it was generated",
    fix="generate it again elsewhere, and compare: patchgen diff",
)
NO_FORMER = ErrorEntry(
    code="PATCH082",
    message="the former count of {kind} {namespace}/{target} is not known",
    cause="a package says what shall be, not what was",
    fix="give it: patchgen undo {path} --to N, or the manifests that hold it: "
    "patchgen undo {path} --base FILE_OR_FOLDER",
    exit=Exit.USAGE,
)
BAD_MANIFEST = ErrorEntry(
    code="PATCH083",
    message="{path} cannot be read as Kubernetes objects: {reason}",
    cause="manifests are YAML or JSON with apiVersion, kind and metadata",
    fix="correct the file that is named",
    exit=Exit.USAGE,
)
NO_TARGET = ErrorEntry(
    code="PATCH085",
    message="{target} is not among the objects",
    cause="what is there: {known}",
    fix="correct the target's kind, namespace or name",
)
BAD_ARGUMENT = ErrorEntry(
    code="PATCH086",
    message="{name} {value!r} cannot be used",
    cause="names are lowercase alphanumeric with hyphens, 63 characters at most",
    fix="choose another value for {name}",
    exit=Exit.USAGE,
)
BAD_OBJECTS = ErrorEntry(
    code="PATCH087",
    message="{count} objects do not fit the Kubernetes schemas: {problems}",
    cause="a server with strict field validation would refuse them",
    fix="correct the fields that are named",
)
NO_SCHEMAS = ErrorEntry(
    code="PATCH088",
    message="the Kubernetes schemas are not installed",
    cause="they are large and only this check needs them",
    fix="pip install kubernetes-validate",
    exit=Exit.USAGE,
)
OTHER_FORM = ErrorEntry(
    code="PATCH089",
    message="package {name} has the form {generator} of schema {schema}",
    cause="this patchgen writes the form {own} of schema {own_schema} and cannot tell what another "
    "one would have written",
    fix="look at it with the patchgen that made it, or generate it again from its intent",
    exit=Exit.USAGE,
)
