"""Sound in WAV files: samples as numbers from -1 to 1, or as 16-bit integers where the model takes those.

A model that takes sounds of one length gets a file in windows of that length, one row each, the last one filled with
silence. A model that takes any length gets the file as one row.
"""

import wave
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import numpy as np

from tcli_batch.addresses import file_state, open_data
from tcli_batch.errors import DataError, UnreadableError
from tcli_batch.signature import Signature, Tensor
from tcli_batch.sources import Chunk, Table, chunk_rows
from tcli_client.tensors import Array

_LARGEST_ROW = 256 << 20
_FULL = {1: 128.0, 2: 32768.0, 3: 8388608.0, 4: 2147483648.0}


class WavFile(Table):
    """A `.wav` file of PCM samples; channels are mixed to one unless the model takes as many as there are.

    Raises:
        DataError: it is no such file, or the model takes no sound.
    """

    typed = True

    def __init__(self, file: str, signature: Signature) -> None:
        self._file = file
        self._tensor = tensor = _sound_input(file, signature)
        with self._opened() as sound:
            self._channels, self._width = sound.getnchannels(), sound.getsampwidth()
            frames = sound.getnframes()
            if self._width not in _FULL:
                raise wave.Error(f"samples of {8 * self._width} bits")
            self._frame_bytes = self._width * self._channels
            if frames * self._frame_bytes > file_state(file).get("size", 0):
                self._cut_off(frames)
        self._frames = frames
        self._length, self._axis = _layout(tensor, self._channels)
        self._whole = self._length < 0
        if self._whole:
            self._length = frames
        if frames == 0:
            raise UnreadableError(f"'{file}' holds no sound")
        if self._length * 4 * self._channels > _LARGEST_ROW:
            raise UnreadableError(f"'{file}' is too long for one row: {frames} samples")
        self.columns = (tensor.name,)
        self.rows = -(-frames // self._length)
        self.starts = range(self.rows)

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        step = chunk_rows(self._length * 4 * self._channels)
        rows = self.rows or 0
        with self._opened() as sound:
            sound.setpos(min(start * self._length, sound.getnframes()))
            for first in range(start, rows, step):
                count = min(step, rows - first)
                content = sound.readframes(count * self._length)
                wanted = min(count * self._length, self._frames - first * self._length)
                if len(content) != wanted * self._frame_bytes:
                    self._cut_off(self._frames)
                samples = self._samples(content, count * self._length)
                yield Chunk(first, count, {self._tensor.name: self._shaped(samples, count)})

    def _cut_off(self, frames: int) -> NoReturn:
        raise UnreadableError(
            f"'{self._file}' is cut off: it is to hold {frames} samples, and does not",
            "ffmpeg -i SOUND -c:a pcm_s16le SOUND.wav makes one with those that are there",
        )

    @contextmanager
    def _opened(self) -> "Iterator[wave.Wave_read]":
        try:
            with open_data(self._file) as stream, wave.open(stream, "rb") as sound:
                yield sound
        except OSError as problem:
            raise UnreadableError(f"'{self._file}' cannot be read: {problem.strerror or problem}") from None
        except (wave.Error, EOFError, RuntimeError) as problem:
            raise UnreadableError(
                f"'{self._file}' is no WAV file of PCM samples: {problem}",
                "ffmpeg -i SOUND -c:a pcm_s16le SOUND.wav makes one",
            ) from None

    def _samples(self, content: bytes, wanted: int) -> Array:
        """[wanted, channels] in 16-bit integers or FP32."""
        if self._width == 1:
            values = np.frombuffer(content, np.uint8).astype(np.int32) - 128
        elif self._width == 3:
            triples = np.frombuffer(content, np.uint8).reshape(-1, 3)
            wide = np.zeros((len(triples), 4), np.uint8)
            wide[:, 1:] = triples
            values = wide.view("<i4").ravel() >> 8
        else:
            values = np.frombuffer(content, f"<i{self._width}").astype(np.int32)
        frames = values.reshape(-1, self._channels)
        scaled: Array
        if self._tensor.datatype == "INT16":
            scaled = frames if self._width == 2 else frames / _FULL[self._width] * 32767
        else:
            scaled = (frames / _FULL[self._width]).astype(np.float32)
        if not self._axis and self._channels > 1:
            scaled = scaled.mean(axis=1, keepdims=True, dtype=np.float32)
        if self._tensor.datatype == "INT16":
            scaled = np.rint(scaled).astype(np.int16)
        if len(scaled) < wanted:
            scaled = np.concatenate([scaled, np.zeros((wanted - len(scaled), scaled.shape[1]), scaled.dtype)])
        return scaled

    def _shaped(self, samples: Array, count: int) -> Array:
        rows = samples.reshape(count, self._length, -1)
        if self._axis == 1:
            return np.ascontiguousarray(rows.transpose(0, 2, 1))
        if self._axis == 2:
            return rows
        flat = rows[:, :, 0]
        return flat.reshape(count, *[self._length if side in (-1, self._length) else 1 for side in self._tensor.dims])


def _sound_input(file: str, signature: Signature) -> Tensor:
    if len(signature.required) == 1 and signature.required[0].datatype in ("FP32", "FP16", "FP64", "INT16"):
        return signature.required[0]
    raise DataError(
        f"'{file}' is sound, and model '{signature.model}' does not take one tensor of samples",
        f"its inputs: {', '.join(map(str, signature.inputs))}",
    )


def _layout(tensor: Tensor, channels: int) -> tuple[int, int]:
    """The length of a row, -1 for any, and which dimension counts the channels: 0 none, 1 first, 2 last."""
    dims = [side for side in tensor.dims if side != 1]
    if len(dims) <= 1:
        return (dims[0] if dims else 1), 0
    if len(dims) == 2 and channels > 1:
        if dims[0] == channels:
            return dims[1], 1
        if dims[1] == channels:
            return dims[0], 2
    raise DataError(f"input {tensor} does not take sound of {channels} channels")
