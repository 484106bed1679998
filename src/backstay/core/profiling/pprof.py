"""The profile format of pprof: one protobuf message, gzip-compressed (google/pprof, profile.proto).

Written by hand because it is one message of six kinds of field; a protobuf library would cost every
server more memory than the heap profile finds.
"""

import gzip
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Frame(NamedTuple):
    """One place in the code, its name qualified by the module; file and line may be unknown."""

    name: str
    file: str = ""
    line: int = 0


class ValueType(NamedTuple):
    """What one column of numbers means: `("cpu", "nanoseconds")`."""

    kind: str
    unit: str


class ProfileBuilder:
    """Collects stacks with their numbers. The same stacks give the same bytes."""

    def __init__(
        self,
        kinds: Sequence[ValueType],
        *,
        period: tuple[ValueType, int],
        default: str = "",
        comment: str = "",
    ) -> None:
        self._strings: dict[str, int] = {"": 0}
        self._functions: dict[tuple[str, str], int] = {}
        self._locations: dict[Frame, int] = {}
        self._samples: list[bytes] = []
        self._function_bytes: list[bytes] = []
        self._location_bytes: list[bytes] = []
        self._kinds = [self._value_type(kind) for kind in kinds]
        self._period = (self._value_type(period[0]), period[1])
        self._default = self._string(default)
        self._comment = self._string(comment)
        self._mapping = self._string("python")

    def add(
        self,
        stack: Sequence[Frame],
        values: Sequence[int],
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """One stack, innermost frame first, with a number for each kind."""
        locations = b"".join(_varint(self._location(frame)) for frame in stack)
        numbers = b"".join(_varint(value) for value in values)
        parts = [_bytes(1, locations), _bytes(2, numbers)]
        for key, text in (labels or {}).items():
            label = _int(1, self._string(key)) + _int(2, self._string(text))
            parts.append(_bytes(3, label))
        self._samples.append(b"".join(parts))

    def encode(self, at: float, seconds: float = 0.0) -> bytes:
        """The profile's bytes. `at` is epoch seconds, `seconds` how long was looked."""
        # Names are there already: without the flags pprof would look for a binary to ask.
        mapping = _int(1, 1) + _int(5, self._mapping) + _int(7, 1) + _int(8, 1) + _int(9, 1)
        parts = [_bytes(1, kind) for kind in self._kinds]
        parts += [_bytes(2, sample) for sample in self._samples]
        parts.append(_bytes(3, mapping))
        parts += [_bytes(4, location) for location in self._location_bytes]
        parts += [_bytes(5, function) for function in self._function_bytes]
        parts += [_bytes(6, text.encode("utf-8", "replace")) for text in self._strings]
        parts.append(_int(9, int(at * 1e9)) + _int(10, int(seconds * 1e9)))
        parts.append(_bytes(11, self._period[0]) + _int(12, self._period[1]))
        if self._comment:
            parts.append(_bytes(13, _varint(self._comment)))
        parts.append(_int(14, self._default))
        return gzip.compress(b"".join(parts), compresslevel=6, mtime=0)

    def _value_type(self, given: ValueType) -> bytes:
        return _int(1, self._string(given.kind)) + _int(2, self._string(given.unit))

    def _string(self, text: str) -> int:
        return self._strings.setdefault(text, len(self._strings))

    def _location(self, frame: Frame) -> int:
        known = self._locations.get(frame)
        if known is None:
            known = self._locations[frame] = len(self._locations) + 1
            line = _int(1, self._function(frame)) + _int(2, frame.line)
            self._location_bytes.append(_int(1, known) + _int(2, 1) + _bytes(4, line))
        return known

    def _function(self, frame: Frame) -> int:
        key = (frame.name, frame.file)
        known = self._functions.get(key)
        if known is None:
            known = self._functions[key] = len(self._functions) + 1
            name, file = self._string(frame.name), self._string(frame.file)
            parts = _int(1, known) + _int(2, name) + _int(3, name) + _int(4, file)
            self._function_bytes.append(parts)
        return known


def _varint(number: int) -> bytes:
    number &= 0xFFFF_FFFF_FFFF_FFFF  # negative ones are two's complement of 64 bits
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _int(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number) if number else b""


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content
