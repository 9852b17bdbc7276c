"""Speech for tests, by espeak-ng: Debian's command where it is installed, else the library in the wheel `espeakng-loader`."""

import ctypes
import importlib
import shutil
import subprocess
from functools import cache

import numpy as np
import pytest

_SYNCHRONOUS = 2
_UTF8 = 1
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@cache
def say(text: str) -> tuple[int, np.ndarray]:
    """Its rate in Hz and INT16 [any]: the words without the silence around them. Skips the test where nobody can speak."""
    command = shutil.which("espeak-ng")
    rate, samples = _by_command(command, text) if command else _by_wheel(text)
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 500)
    return rate, samples[loud[0] : loud[-1] + 1]


def _by_command(command: str, text: str) -> tuple[int, np.ndarray]:
    spoken = subprocess.run([command, "--stdout", text], capture_output=True, check=True, timeout=60).stdout
    return int.from_bytes(spoken[24:28], "little"), np.frombuffer(spoken[44:], "<i2")  # a WAV header, then samples


def _by_wheel(text: str) -> tuple[int, np.ndarray]:
    try:
        wheel = importlib.import_module("espeakng_loader")
    except ImportError:
        pytest.skip("nobody can speak here: apt install espeak-ng, or pip install espeakng-loader")
    library = ctypes.CDLL(wheel.get_library_path())
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, wheel.get_data_path().encode(), 0)
    pieces = [np.zeros(0, np.int16)]

    def take(samples: "ctypes._Pointer[ctypes.c_short]", count: int, _: object) -> int:
        if samples and count:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    callback = _Callback(take)
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetVoiceByName(b"en")
    words = text.encode()
    library.espeak_Synth(words, len(words) + 1, 0, 1, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    return rate, np.concatenate(pieces)
