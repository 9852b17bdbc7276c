"""From files to blocks of rows that fit the model, in order, some of them ahead of who takes them."""

import itertools
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TypeVar

import numpy as np

from tcli_batch.block import Block, Cursor, Refusal, array_bytes
from tcli_batch.errors import DataError, RowError, UnreadableError
from tcli_batch.fitting import fit_column
from tcli_batch.mapping import Columns, map_columns
from tcli_batch.signature import Signature
from tcli_batch.sources import Chunk, Single, Table
from tcli_batch.sources.kinds import DataFile, Kinds
from tcli_client.tensors import Array

_AHEAD = 2
_BLOCK_REQUESTS = 4
"""A block is at most so many requests: it is all written or not at all."""

_SINGLE_BYTES = 16 << 20
"""At most so much of decoded files makes one block."""

_T = TypeVar("_T")
_I = TypeVar("_I")


class Reader:
    """All the data of a job.

    Args:
        given: input -> columns, as the user says.
        threads: that decode files of one row.
    """

    def __init__(self, files: Sequence[DataFile], kinds: Kinds, given: Columns, threads: int) -> None:
        self._files = files
        self._kinds = kinds
        self._signature = kinds.signature
        self._given = given
        self._threads = threads

    def check(self) -> int:
        """Look at all files before anything is asked.

        Returns:
            How many rows there are, about where only reading it all would tell; 0 where nothing is known.

        Raises:
            DataError: a file cannot be read, lacks a column, or its first rows do not fit the model at all; says which
                row is the first.
        """
        counts: list[int] = []
        looked: set[str] = set()
        unreadable: list[UnreadableError] = []
        for file in self._files:
            if not file.is_table:
                self._kinds.single(file.kind)
                counts.append(1)
                continue
            try:
                table = self._kinds.table(file)
                if table.typed or file.kind not in looked:
                    self._check_first(table, file)
            except UnreadableError as problem:  # a row that is refused when its turn comes
                unreadable.append(problem)
                continue
            looked.add(file.kind)
            counts.append(table.rows_about if table.rows is None else table.rows)
        if unreadable and not counts:
            raise unreadable[0]
        return sum(counts) + len(unreadable)

    def mapping(self) -> dict[str, tuple[str, ...]]:
        """Input -> columns, of the first file that has columns."""
        for file in self._files:
            if file.is_table:
                with suppress(UnreadableError):
                    table = self._kinds.table(file)
                    return map_columns(self._signature, table.columns, self._given, file.name)
        return {}

    def blocks(
        self,
        start: Cursor = Cursor(),  # noqa: B008  it cannot be changed
        stop: Cursor | None = None,
    ) -> Generator[Block, None, None]:
        """The rows from a place on, to the end or to another place.

        Raises:
            DataError: a file cannot be read on.
        """
        end = len(self._files) if stop is None else stop.file + (stop.row > 0)
        numbered = list(enumerate(self._files))[start.file : end]
        for is_table, group in itertools.groupby(numbered, key=lambda item: item[1].is_table):
            if is_table:
                for number, file in group:
                    first = start.row if number == start.file else 0
                    last = stop.row if stop is not None and number == stop.file else None
                    yield from _ahead(self._of_table(number, file, first, last))
            else:
                for kind, files in itertools.groupby(group, key=lambda item: item[1].kind):
                    yield from self._of_singles(self._kinds.single(kind), list(files))

    # --- tables ---

    def _check_first(self, table: Table, file: DataFile) -> None:
        columns = map_columns(self._signature, table.columns, self._given, file.name)
        chunk = next(table.chunks(), None)
        if chunk is None:
            return
        refused = [
            refusal for block in fit_chunk(self._signature, chunk, columns, file.name, 0) for refusal in block.refusals
        ]
        if len(refused) == chunk.count:
            first = refused[0]
            raise DataError(f"'{first.source}': row {first.index} does not fit, nor any after it: {first.reason}")

    def _of_table(self, number: int, file: DataFile, start: int, stop: int | None) -> Iterator[Block]:
        row = start
        try:
            table = self._kinds.table(file)
            columns = map_columns(self._signature, table.columns, self._given, file.name)
            for chunk in _before(table.chunks(start), stop):
                yield from fit_chunk(self._signature, chunk, columns, file.name, number)
                row = chunk.first + chunk.count
        except UnreadableError as problem:
            empty = np.empty(0, np.int64)
            refusal = Refusal(file.name, row, str(problem), Cursor(number, row))
            yield Block([], empty, {}, [refusal], Cursor(number + 1))

    # --- files that are one row ---

    def _of_singles(self, single: Single, files: "list[tuple[int, DataFile]]") -> Iterator[Block]:
        rows = self._signature.max_rows

        def read(file: DataFile) -> dict[str, Array] | RowError:
            try:
                return single.read(file.name)
            except RowError as problem:
                return problem

        taken: list[tuple[int, DataFile, dict[str, Array]]] = []
        refusals: list[Refusal] = []
        size = 0
        window = max(2 * self._threads, self._threads + rows)
        with closing(_in_order(self._threads, read, [file for _, file in files], window)) as results:
            for (number, file), result in zip(files, results, strict=True):
                if isinstance(result, RowError):
                    refusals.append(Refusal(file.name, 0, str(result), Cursor(number)))
                    if len(refusals) >= rows:
                        yield _block(taken, refusals, Cursor(number + 1))
                        taken, refusals, size = [], [], 0
                    continue
                if taken and any(result[name].shape != array.shape for name, array in taken[0][2].items()):
                    yield _block(taken, refusals, Cursor(number))
                    taken, refusals, size = [], [], 0
                taken.append((number, file, result))
                size += sum(map(array_bytes, result.values()))
                if len(taken) == rows or size >= _SINGLE_BYTES:
                    yield _block(taken, refusals, Cursor(number + 1))
                    taken, refusals, size = [], [], 0
            if taken or refusals:
                yield _block(taken, refusals, Cursor(files[-1][0] + 1))


def fit_chunk(signature: Signature, chunk: Chunk, columns: Columns, name: str, number: int) -> Iterator[Block]:
    """The rows of a chunk that fit, in blocks; each has what is refused before its end.

    Args:
        name: of the file.
        number: of the file, in the job.
    """
    refused = dict(chunk.refused)
    fitted: dict[str, tuple[list[Array], Array]] = {}
    for tensor in signature.inputs:
        if tensor.name not in columns:
            for place in chunk.others.get(tensor.name, ()):
                refused.setdefault(
                    place, f"input {tensor}: the first row of the file has none, and it names the columns"
                )
            continue
        runs, problems = fit_column(tensor, _side_by_side(chunk, columns[tensor.name]))
        fitted[tensor.name] = runs, np.delete(np.arange(chunk.count), list(problems))
        for place, reason in problems.items():
            refused.setdefault(place, reason)
    good = np.delete(np.arange(chunk.count), list(refused))
    waiting = deque(
        Refusal(name, chunk.first + place, refused[place], Cursor(number, chunk.first + place))
        for place in sorted(refused)
    )
    rows = signature.max_rows * _BLOCK_REQUESTS
    begun = 0
    for places, inputs in _aligned(fitted, good):
        for first in range(0, len(places), rows):
            taken = places[first : first + rows]
            begun += len(taken)
            end = chunk.first + (chunk.count if begun == len(good) else int(taken[-1]) + 1)
            refusals = []
            while waiting and waiting[0].index < end:
                refusals.append(waiting.popleft())
            piece = {key: array[first : first + rows] for key, array in inputs.items()}
            yield Block([name] * len(taken), chunk.first + taken, piece, refusals, Cursor(number, end))
    if not begun:
        yield Block([], good, {}, list(waiting), Cursor(number, chunk.first + chunk.count))


def _before(chunks: Iterator[Chunk], stop: int | None) -> Iterator[Chunk]:
    """The rows before one."""
    for chunk in chunks:
        count = chunk.count if stop is None else min(chunk.count, stop - chunk.first)
        if count == chunk.count:
            yield chunk
        else:
            columns = {name: column[:count] for name, column in chunk.columns.items()}
            refused = {place: reason for place, reason in chunk.refused.items() if place < count}
            yield Chunk(chunk.first, count, columns, refused)
        if stop is not None and chunk.first + count >= stop:
            return


def _block(taken: "list[tuple[int, DataFile, dict[str, Array]]]", refusals: list[Refusal], after: Cursor) -> Block:
    inputs = {name: np.stack([row[name] for _, _, row in taken]) for name in (taken[0][2] if taken else ())}
    names, numbers = [file.name for _, file, _ in taken], [number for number, _, _ in taken]
    return Block(names, np.zeros(len(taken), np.int64), inputs, refusals, after, numbers)


def _side_by_side(chunk: Chunk, names: tuple[str, ...]) -> "Array | Sequence[object]":
    if len(names) == 1:
        return chunk.columns[names[0]]
    columns = [chunk.columns[name] for name in names]
    if all(isinstance(column, np.ndarray) for column in columns):
        return np.stack([np.asarray(column) for column in columns], axis=1)
    return [list(cells) for cells in zip(*columns, strict=True)]


def _aligned(fitted: "dict[str, tuple[list[Array], Array]]", good: Array) -> Iterator[tuple[Array, dict[str, Array]]]:
    """Rows that are good in every input, in stretches of one shape."""
    if not len(good):
        return
    if all(len(runs) == 1 for runs, _ in fitted.values()):
        yield good, {name: _kept(runs[0], places, good) for name, (runs, places) in fitted.items()}
        return
    wanted = set(good.tolist())
    rows = {
        name: [row for place, row in zip(places.tolist(), itertools.chain(*runs), strict=True) if place in wanted]
        for name, (runs, places) in fitted.items()
    }
    shapes = list(zip(*([row.shape for row in column] for column in rows.values()), strict=True))
    first = 0
    for place in range(1, len(good) + 1):
        if place == len(good) or shapes[place] != shapes[first]:
            yield good[first:place], {name: np.stack(column[first:place]) for name, column in rows.items()}
            first = place


def _kept(rows: Array, places: Array, good: Array) -> Array:
    return rows if len(places) == len(good) else rows[np.isin(places, good)]


def _in_order(threads: int, read: Callable[[_I], _T], files: Iterable[_I], window: int) -> Generator[_T, None, None]:
    """Results in the order of the files; so many at most are read or wait to be taken."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    rest = iter(files)
    try:
        running: deque[Future[_T]] = deque(pool.submit(read, file) for file in itertools.islice(rest, window))
        while running:
            yield running.popleft().result()
            running.extend(pool.submit(read, file) for file in itertools.islice(rest, 1))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class _End:
    """What a thread that reads ahead says at last."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def _ahead(items: Iterator[_T]) -> Iterator[_T]:
    """The same items, made in a thread of their own, a few before they are wanted."""
    ready: queue.Queue[_T | _End] = queue.Queue(_AHEAD)
    stopped = threading.Event()

    def put(item: "_T | _End") -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def run() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as problem:
            error = problem
        put(_End(error))

    thread = threading.Thread(target=run, name="read ahead", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        thread.join()
