"""Where sound comes from: a WAV file, or the microphone. Either way mono FP32 samples from -1 to 1, in pieces."""

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

BLOCK = 512
"""Frames that are read at a time: a long recording needs no more memory than a short one, and a pipe is heard at once."""

PIECE_SECONDS = 0.032
"""What the microphone gives at a time: a chunk of the model's."""

RATES = range(4_000, 768_001)
"""Hz; what is outside is more likely a broken header than sound."""

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
TYPES = {(PCM, 8): "u1", (PCM, 16): "<i2", (PCM, 24): "u1", (PCM, 32): "<i4", (FLOAT, 32): "<f4", (FLOAT, 64): "<f8"}
CONVERT = "convert it first, for example: ffmpeg -i FILE -c:a pcm_s16le sound.wav"


class SoundError(Exception):
    """Sound that cannot be had; the message says what was expected, what was found and what to do."""


@dataclass(frozen=True)
class Sound:
    """Samples as they come.

    Attributes:
        rate: samples a second.
        blocks: FP32 [any].
    """

    rate: int
    blocks: Iterator[np.ndarray]


def wav(file: BinaryIO) -> Sound:
    """Sound of a WAV file, which may be a pipe: PCM of 8, 16, 24 or 32 bits or float, any rate, any number of channels.

    (Python's own `wave` knows neither float nor, before 3.12, the header that most files of 24 bits have.)

    Raises:
        SoundError: it is no WAV file, or one of another kind.
    """
    start = file.read(12)
    if start[:4] != b"RIFF" or start[8:] != b"WAVE":
        found = f"it starts with {start[:12]!r}" if start else "it is empty"
        raise SoundError(f"expected a WAV file, but {found}; {CONVERT}")
    form = b""
    while len(head := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        if name == b"data":
            return _samples(file, form, size)
        content = file.read(size + size % 2)
        if name == b"fmt ":
            form = content
    raise SoundError("expected a `data` chunk in the WAV file, but it ends before")


def _samples(file: BinaryIO, form: bytes, size: int) -> Sound:
    if len(form) < 16:
        raise SoundError("expected a `fmt ` chunk of 16 bytes or more before the samples of the WAV file")
    tag, channels, rate, _, width, bits = struct.unpack("<HHIIHH", form[:16])
    if tag == EXTENSIBLE and len(form) >= 26:
        tag = struct.unpack("<H", form[24:26])[0]
    dtype = TYPES.get((tag, bits))
    if dtype is None:
        raise SoundError(
            f"expected PCM of 8, 16, 24 or 32 bits or float, found WAV format {tag} of {bits} bits; {CONVERT}"
        )
    if not channels or width != channels * bits // 8:
        raise SoundError(
            f"expected frames of channels x bytes, found {channels} channels of {bits} bits in {width} bytes"
        )
    if rate not in RATES:
        raise SoundError(f"expected a rate from {RATES[0]} to {RATES[-1]} Hz, found {rate}")
    return Sound(rate, _blocks(file, size, dtype, bits, channels))


def _blocks(file: BinaryIO, left: int, dtype: str, bits: int, channels: int) -> Iterator[np.ndarray]:
    width = channels * bits // 8
    # A file that was cut, or a pipe whose length nobody knew, ends before its header says.
    empty = True
    while len(data := file.read(min(left, BLOCK * width))) >= width:
        empty = False
        left -= len(data)
        values = np.frombuffer(data[: len(data) // width * width], dtype)
        samples: np.ndarray
        if bits == 24:  # the upper three bytes of 32 bits
            values = np.pad(values.reshape(-1, 3), ((0, 0), (1, 0))).view("<i4")
        if bits == 8:
            samples = (values.astype(np.float32) - 128) / 128
        elif values.dtype.kind == "f":  # one sample that is no number would stay in the model's memory for ever
            samples = np.clip(np.nan_to_num(values), -1, 1).astype(np.float32)
        else:
            samples = values.astype(np.float32) / -float(np.iinfo(values.dtype).min)
        yield samples.reshape(-1, channels).mean(axis=1)
    if empty:
        raise SoundError("it holds no sound")


def microphone() -> Sound:
    """What the default microphone hears, for ever, at its own rate.

    Raises:
        SoundError: there is none, or the package `sounddevice` is missing.
    """
    try:
        import sounddevice
    except ImportError:
        raise SoundError("the microphone needs a package: pip install sounddevice") from None
    except OSError as error:
        raise SoundError(f"sounddevice finds no PortAudio ({error}); on Debian: apt install libportaudio2") from None
    try:
        stream = sounddevice.InputStream(channels=1, dtype="float32")
        stream.start()
    except sounddevice.PortAudioError as error:
        raise SoundError(f"no microphone can be opened: {error}") from None
    return Sound(round(stream.samplerate), _heard(stream))


def _heard(stream: Any) -> Iterator[np.ndarray]:
    with stream:
        while True:
            samples, lost = stream.read(round(stream.samplerate * PIECE_SECONDS))
            if lost:
                print("some sound was lost before it could be read: times are too early from here on", file=sys.stderr)
            yield samples[:, 0].copy()
