"""Items from a `.npy` file: the first axis is that of the items."""

from pathlib import Path

import numpy as np

from tcli_analyzer.data.errors import DataError
from tcli_analyzer.data.model_input import ModelInput
from tcli_analyzer.data.raw_file import file_size


class NpyColumn:
    """As `Column`. The file is mapped, not read: only what is used is in memory."""

    def __init__(self, path: Path, to: ModelInput) -> None:
        self.source = str(path)
        self.notes: list[str] = []
        self._to = to
        array = open_npy(path)
        self._array = array if not self._is_one_item(array) else array[np.newaxis]
        if not self._array.ndim or not len(self._array):
            raise DataError(
                f"{path}: found shape {list(array.shape)}, without an item; the first axis is that of the items",
                f"save an array of shape {['items', *to.dims]}".replace("'", ""),
            )
        self.count: int | None = len(self._array)

    def item(self, index: int) -> np.ndarray:
        place = f"{self.source}: item {index}"
        return self._to.fitted(self._to.converted(np.array(self._array[index]), place), place)

    def _is_one_item(self, array: np.ndarray) -> bool:
        """Whether the file holds an item and no axis of items: as it fits the input like that, and not otherwise."""
        return self._fits(array) and not (array.ndim and len(array) and self._fits(array[0]))

    def _fits(self, array: np.ndarray) -> bool:
        try:
            self._to.fitted(array, "")
        except DataError:
            return False
        return True


def open_npy(path: Path) -> np.ndarray:
    """The array of a file, mapped.

    Raises:
        DataError: it cannot be read, is cut off, or holds Python objects (pickles), which run code when they are read.
    """
    try:
        if not file_size(path):
            raise DataError(f"{path}: the file is empty", "save an array: numpy.save(path, array)")
        with path.open("rb") as file:
            head = file.read(6)
        if head[:2] == b"PK":
            raise DataError(f"{path}: found a .npz archive named .npy", _UNPACK)
        if head != b"\x93NUMPY":
            raise DataError(
                f"{path}: found no .npy file: it does not begin as one", "save an array: numpy.save(path, array)"
            )
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise DataError(f"{path}: it cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise _unreadable(path, str(error)) from None
    assert isinstance(array, np.ndarray)
    return array


def refuse_npz(path: Path) -> DataError:
    """Why an archive is not read: what it unpacks to has no limit."""
    return DataError(f"{path}: .npz archives are not read", _UNPACK)


_UNPACK = "save each array by itself, named as its input: numpy.save('NAME.npy', numpy.load(archive)['NAME'])"


def _unreadable(path: Path, reason: str) -> DataError:
    if "Object arrays" in reason or "pickle" in reason.lower() or "Python objects" in reason:
        return DataError(
            f"{path}: it holds Python objects (a pickle), which could run any code when read",
            "save it with a plain data type; strings with array.astype(str)",
        )
    if "mmap length" in reason or "larger than" in reason.lower():
        return DataError(f"{path}: the file is cut off: it is smaller than its header says", "copy it again")
    return DataError(f"{path}: no .npy file that can be read: {reason}", "save an array: numpy.save(path, array)")
