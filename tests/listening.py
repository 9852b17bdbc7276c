"""The example `examples/streaming_audio` as its users run it, and WAV files for it."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).parents[1] / "examples" / "streaming_audio"
DETECT = [sys.executable, str(EXAMPLE / "detect_speech.py")]
PATIENCE = 60


def detect(*options: object, **rest: object) -> subprocess.CompletedProcess:
    """Run `detect_speech.py` to its end."""
    return subprocess.run([*DETECT, *map(str, options)], capture_output=True, timeout=PATIENCE, check=False, **rest)


def events(output: bytes) -> list[tuple[str, float]]:
    """What it printed: `starts` or `ends`, and the seconds."""
    return [(words[3], float(words[0])) for words in map(str.split, output.decode().splitlines())]


def wav_bytes(samples: np.ndarray, rate: int, form: str = "int16", channels: int = 1) -> bytes:
    """A WAV file.

    Args:
        samples: from -1 to 1, the same for each channel.
        form: `uint8`, `int16`, `int24`, `int32`, `float32`, `float64`; with `+` behind it, its header is of the newer,
            extensible kind.
    """
    name = form.rstrip("+")
    frames = np.repeat(np.asarray(samples, np.float64)[:, np.newaxis], channels, axis=1)
    if name == "uint8":
        data = np.round(frames * 127 + 128).astype("u1").tobytes()
    elif name == "int24":
        data = np.round(frames * (2**23 - 1)).astype("<i4")[..., np.newaxis].view("u1")[..., :3].tobytes()
    elif name.startswith("int"):
        data = np.round(frames * np.iinfo(name).max).astype(name).tobytes()
    else:
        data = frames.astype(name).tobytes()
    bits = int(name.lstrip("uintfloa"))
    tag = 3 if name.startswith("float") else 1
    return wav_file(tag, bits, channels, rate, data, form.endswith("+"))


def wav_file(tag: int, bits: int, channels: int, rate: int, data: bytes, extensible: bool = False) -> bytes:
    """A WAV file of these header fields, a chunk of text before its samples."""
    width = channels * bits // 8
    head = struct.pack("<HHIIHH", 0xFFFE if extensible else tag, channels, rate, rate * width, width, bits)
    if extensible:
        head += struct.pack("<HHIH", 22, bits, 0, tag) + bytes.fromhex("000000001000800000aa00389b71")
    chunks = [(b"fmt ", head), (b"LIST", b"odd"), (b"data", data)]
    body = b"".join(name + struct.pack("<I", len(part)) + part + b"\0" * (len(part) % 2) for name, part in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body
