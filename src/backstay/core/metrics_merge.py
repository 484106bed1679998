"""Several expositions become one: families joined, each sample told apart by `system`.

It works on lines and does not parse numbers: a scrape of four processes is a few thousand lines.
"""

import re
from collections.abc import Iterator, Mapping

import msgspec

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+(?:\s+-?\d+)?)\s*")
_OWN = re.compile(r'(^|,)\s*system="')
_SUFFIXES = ("_bucket", "_sum", "_count", "_total", "_created")


class _Family(msgspec.Struct):
    help: str = ""
    type: str = ""
    samples: list[str] = []


def merge(parts: Mapping[str, bytes]) -> bytes:
    """Expositions by system → one exposition. A label `system` of a part is kept as
    `exported_system`; HELP and TYPE are those of the first part that has them."""
    families: dict[str, _Family] = {}
    for system, exposition in parts.items():
        for name, kind, text in _lines(exposition):
            family = families.setdefault(name, _Family())
            if kind == "sample":
                family.samples.append(_labelled(text, system))
            elif kind == "HELP":
                family.help = family.help or text
            else:
                family.type = family.type or text
    out: list[str] = []
    for name in sorted(families):
        family = families[name]
        if not family.samples:
            continue
        out += [family.help] if family.help else []
        out += [family.type] if family.type else []
        out += family.samples
    return "".join(f"{line}\n" for line in out).encode()


def _lines(exposition: bytes) -> Iterator[tuple[str, str, str]]:
    """(family, HELP | TYPE | sample, line); what is neither is left out."""
    typed: set[str] = set()
    for line in exposition.decode("utf-8", "replace").splitlines():
        if line.startswith(("# HELP ", "# TYPE ")):
            _, kind, name, *_ = line.split(" ", 3)
            typed.add(name)
            yield name, kind, line
        elif line and not line.startswith("#") and _SAMPLE.fullmatch(line):
            yield _family_of(line, typed), "sample", line


def _family_of(line: str, typed: set[str]) -> str:
    name = re.split(r"[{\s]", line, maxsplit=1)[0]
    if name in typed:
        return name
    for suffix in _SUFFIXES:
        if name.endswith(suffix) and name.removesuffix(suffix) in typed:
            return name.removesuffix(suffix)
    return name


def _labelled(line: str, system: str) -> str:
    found = _SAMPLE.fullmatch(line)
    if found is None:
        return line
    name, labels, rest = found.groups()
    kept = _OWN.sub(r'\1exported_system="', labels.strip().rstrip(",")) if labels else ""
    own = f'system="{system}"'
    return f"{name}{{{own},{kept}}} {rest}" if kept else f"{name}{{{own}}} {rest}"
