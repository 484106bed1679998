"""Packages cannot be written: the folder is missing or closed, its disk is full or read-only."""

import os
import re

from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import look_inside, seen
from backstay.patchgen.probes import look_at_output

_PATH = "patchgen.path"
_OUTPUT = "patchgen.output"
_READINGS = (
    "writable",
    "missing",
    "not-a-folder",
    "closed",
    "read-only-disk",
    "full",
    "no-inodes",
)
_OURS = re.compile(
    r"output (directory|path) (?P<a>\S+) (does not exist|is not a directory)"
    r"|failed to (create package directory|write file)|insufficient disk space|PATCH06[0-36]",
    re.IGNORECASE,
)
_NAMED = (
    re.compile(r"output (?:directory|path) (\S+) (?:does not exist|is not a directory)"),
    re.compile(r"why: (/\S+) (?:does not take|could not be)"),
    re.compile(r"file system of (/\S+) is"),
)


def _path_in(text: str) -> str:
    for form in _NAMED:
        found = form.search(text)
        if found:
            return found[1]
    return os.environ.get("PATCHGEN_OUTPUT_DIR", "")


async def _look_at_path(target: Target) -> Evidence:
    """The folder that a message of patchgen names, as this user sees it."""
    path = _path_in(target.text) if _OURS.search(target.text) else ""
    if not path:
        return seen(_PATH, "not-asked", "skip")
    return _judged(_PATH, look_at_output(path), target)


async def _look_inside(target: Target) -> Evidence:
    """The folder of the running process, as that process sees it."""
    found = await look_inside(_OUTPUT, target, "patchgen", "/probe/patchgen.output")
    return found if isinstance(found, Evidence) else _judged(_OUTPUT, found, target)


def _judged(probe: str, found: dict[str, Plain], target: Target) -> Evidence:
    reading = str(found.get("reading", "missing"))
    facts = {name: value for name, value in found.items() if name != "reading"}
    facts |= {"data": str(target.data), "parent": str(found.get("stopped_at") or found["path"])}
    well = reading == "writable"
    return seen(probe, reading, "pass" if well else "fail", found, **facts)


PATH = Probe(
    _PATH,
    "what keeps the folder of the message from taking packages",
    "outside",
    (*_READINGS, "not-asked"),
    _look_at_path,
)
OUTPUT = Probe(
    _OUTPUT,
    "does the folder of the running patchgen take packages",
    "inside",
    _READINGS,
    _look_inside,
)


def _cause(id: str, reading: str, says: str, *fixes: str) -> Cause:
    return Cause(id, says, 0.05, {_PATH: {reading: 0.9}, _OUTPUT: {reading: 0.9}}, fixes)


MISSING = Guide(
    id="output-missing",
    title="The output directory is not there",
    seed="patchgen: Directory Does Not Exist",
    symptoms=(
        Symptom("text", r"output directory \S* ?does not exist|PATCH060", "it does not exist"),
        Symptom("text", r"output path \S+ is not a directory|PATCH061", "it is a file"),
    ),
    probes=(PATH, OUTPUT),
    causes=(
        _cause("output-missing", "missing", "the output directory {path} does not exist", "make"),
        _cause("output-is-a-file", "not-a-folder", "{parent} is not a directory", "move"),
    ),
    fixes=(
        Fix("make", "Make it", "mkdir -p {path}", "none"),
        Fix("move", "Move the file away, then make the folder", "ls -ld {parent}", "none"),
    ),
    escalation="patchgen diagnose {path} shows every component of the path",
)

DENIED = Guide(
    id="output-denied",
    title="The output directory takes nothing from this user",
    seed="patchgen: Permission Denied",
    symptoms=(
        Symptom("text", r"failed to create package directory|PATCH062", "permission denied"),
    ),
    probes=(PATH, OUTPUT),
    causes=(
        _cause(
            "output-closed",
            "closed",
            "{path} may not be written by {user}[[ (stopped at {stopped_at})]]",
            "see",
            "own",
            "elsewhere",
        ),
        _cause(
            "output-read-only",
            "read-only-disk",
            "the file system of {path} is mounted read-only",
            "elsewhere",
            "remount",
        ),
    ),
    fixes=(
        Fix("see", "See whose each component is", "patchgen diagnose {path}", "none"),
        Fix("own", "Give it to this user", "sudo chown -R $(whoami) {path}", "none"),
        Fix(
            "elsewhere",
            "Use a folder of your own",
            "patchgen generate -intent FILE -output ~/.nephoran/patches",
            "none",
        ),
        Fix("remount", "Mount it writable", "sudo mount -o remount,rw {path}", "none"),
    ),
    escalation="in a container: run it with --user $(id -u):$(id -g)",
)

FULL = Guide(
    id="output-full",
    title="The disk of the output directory is full",
    seed="patchgen: Disk Space Issues",
    symptoms=(
        Symptom("text", r"failed to write file|insufficient disk space|PATCH06[36]", "no space"),
    ),
    probes=(PATH, OUTPUT),
    causes=(
        _cause("output-full", "full", "the disk of {path} has {free_bytes} bytes left", "room"),
        _cause("output-no-inodes", "no-inodes", "the disk of {path} has no inode left", "count"),
    ),
    fixes=(
        Fix("room", "See what takes the room", "du -xh -d 2 {path} | sort -h | tail", "none"),
        Fix(
            "count",
            "See which folder has the many files",
            "du -x --inodes -d 2 {path} | sort -n | tail",
            "none",
        ),
    ),
    escalation="nothing half-written remains; run the same command again once there is room",
)
