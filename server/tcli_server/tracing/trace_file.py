"""Traces in files, in Triton's form: a list of objects, which belong together by their `id`."""

import contextlib
from collections.abc import Iterator
from io import FileIO

import orjson

from tcli_server.tracing.collector import LostError
from tcli_server.tracing.trace import Stamps, Trace

REQUEST_BYTES = 16 << 10
"""That a request of a trace takes at most, beside its tensors."""

_STAMP_BYTES = 128

_END = b"]"

_AT_ONCE = 1 << 20
"""Bytes of text from which they are written before there is more."""

_MOST_OPEN = 8
"""Files of a number of traces each: models may have different ones."""


class TraceFile:
    """Writes `path`, or `path.0`, `path.1` and so on where each file is for so many traces. Each is whole JSON at any time, but for
    the moment in which tensors are written.

    As little as possible is in memory. What a full disk leaves of a trace is cut off again.
    """

    pause_secs = 0.05
    enough = 4 << 20
    most = 64 << 20

    def __init__(self, path: str) -> None:
        self._path = path
        self._next = 0
        self._numbered: dict[int, _Growing] = {}  # the one that is not full, by how many traces make it full
        self._only: _Growing | None = None

    def weight(self, trace: Trace) -> int:
        """As `Exporter.weight`: the bytes that it takes."""
        return REQUEST_BYTES * max(1, len(trace.requests)) + _STAMP_BYTES * len(trace.stamps) + trace.tensor_bytes

    def export(self, traces: list[Trace]) -> None:
        """As `Exporter.export`."""
        lost, reason = 0, ""
        for frequency in dict.fromkeys(trace.log_frequency for trace in traces):
            these = [trace for trace in traces if trace.log_frequency == frequency]
            while these:
                file = self._file(frequency)
                room = frequency - file.count if frequency else len(these)
                try:
                    file.add(these[:room])
                except OSError as error:
                    lost, reason = lost + len(these[:room]), f"cannot write {file.path}: {error.strerror or error}"
                these = these[room:]
        if lost:
            raise LostError(reason, lost)

    def _file(self, frequency: int) -> "_Growing":
        """Where the next traces go."""
        if not frequency:
            self._only = self._only or _Growing(self._path)
            return self._only
        file = self._numbered.get(frequency)
        if file is not None and file.count >= frequency:
            self._numbered.pop(frequency).close()
            file = None
        if file is None:
            if len(self._numbered) >= _MOST_OPEN:
                self._numbered.pop(next(iter(self._numbered))).close()  # which has fewer then
            file = self._numbered[frequency] = _Growing(f"{self._path}.{self._next}")
            self._next += 1
        return file

    def hurry(self) -> None:
        """As `Exporter.hurry`: a disk that does not answer cannot be asked to."""

    def close(self) -> None:
        """As `Exporter.close`."""
        for file in self._numbered.values():
            file.close()
        if self._only is not None:
            self._only.close()


class _Growing:
    """A list in a file, which is whole after each addition; in a pipe, at the end."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.count = 0
        self._size = 0
        self._file: FileIO | None = None

    def add(self, traces: list[Trace]) -> None:
        """The file is as before where this raises; a pipe cannot be.

        Raises:
            OSError: they could not be written.
        """
        text = bytearray(b",\n" if self.count else b"[")
        try:
            if self._file is None:
                self._file = FileIO(self.path, "w")
            if self._file.seekable():
                self._file.seek(max(0, self._size - len(_END)))
            for number, trace in enumerate(traces):
                text += b",\n" if number else b""
                for piece in _encoded(trace):
                    text += piece
                    if len(text) >= _AT_ONCE:
                        _write_all(self._file, text)
                        text.clear()
            if self._file.seekable():
                _write_all(self._file, text + _END)
                self._size = self._file.tell()
            else:
                _write_all(self._file, text)
        except BaseException:
            self._cut()
            raise
        self.count += len(traces)

    def _cut(self) -> None:
        if self._file is None:
            return
        with contextlib.suppress(OSError):  # the next trace writes over it
            self._file.truncate(self._size)
            if self._size:
                self._file.seek(self._size - len(_END))
                _write_all(self._file, _END)

    def close(self) -> None:
        """Nothing more comes."""
        if self._file is None:
            return
        if self.count and not self._file.seekable():
            with contextlib.suppress(OSError):  # nobody reads it any more
                _write_all(self._file, _END)
        self._file.close()


def _write_all(file: FileIO, data: bytes | bytearray) -> None:
    with memoryview(data) as view:
        written = 0
        while written < len(data):
            written += file.write(view[written:])


def _encoded(trace: Trace) -> Iterator[bytes]:
    """The objects of a trace, without the brackets of a list."""
    for place, traced in enumerate(sorted(trace.requests, key=lambda traced: traced.id)):
        what: dict[str, object] = {
            "id": traced.id,
            "model_name": traced.model_name,
            "model_version": traced.model_version,
        }
        if traced.request_id:
            what["request_id"] = traced.request_id
        if traced.parent_id:
            what["parent_id"] = traced.parent_id
        objects = [what, *_timestamps(traced.id, traced.stamps)]
        if not traced.parent_id:
            objects += _timestamps(traced.id, trace.stamps)
        yield (b"," if place else b"") + orjson.dumps(objects)[1:-1]
        for tensor in traced.tensors:
            yield b',{"id":%d,' % traced.id
            yield from tensor.pieces()
            yield b"}"


def _timestamps(number: int, stamps: Stamps) -> list[dict[str, object]]:
    return [{"id": number, "timestamps": [{"name": name, "ns": ns}]} for name, ns in stamps]
