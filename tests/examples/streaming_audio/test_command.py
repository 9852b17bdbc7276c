"""`detect_speech.py` in the hands of a user: mistakes, pipes, Ctrl-C, and clients that vanish."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from conftest import LOOPBACK
from listening import DETECT, EXAMPLE, PATIENCE, detect, events, wav_bytes
from spoken import say
from tcli_server import Engine
from tcli_server.serving import Server

RATE = 22_050


def spoken(*, again: int = 1) -> bytes:
    """A WAV file: half a second of silence, a sentence and a second of silence, so many times."""
    rate, samples = say("The quick brown fox jumps over the lazy dog")
    once = np.concatenate([np.zeros(rate // 2), samples / 32768, np.zeros(rate)])
    return wav_bytes(np.tile(once, again), rate)


@pytest.fixture
def one_slot(model_file: Path, tmp_path: Path) -> Iterator[str]:
    """host:port of a server that listens to one client at a time."""
    from make_repository import CONFIG, write_repository

    folder = write_repository(tmp_path / "audio", model_file)
    idle = CONFIG.replace("max_sequence_idle_microseconds: 10000000", "max_sequence_idle_microseconds: 3600000000")
    one = idle.replace("max_candidate_sequences: 256", "max_candidate_sequences: 1")
    (folder / "config.pbtxt").write_text(one)
    with Server(Engine(folder.parent), LOOPBACK) as running:
        yield f"127.0.0.1:{running.grpc_port}"


@contextmanager
def listening(url: str, *options: str) -> Iterator[subprocess.Popen]:
    """A client in the middle of a sound that goes on: it has just said that somebody speaks."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*DETECT, "-", "--url", url, *options], **pipes) as process:
        try:
            process.stdin.write(spoken()[: RATE * 2])  # a second, half of which is silence
            process.stdin.flush()
            assert process.stdout.readline().endswith(b"speech starts\n")
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_client_that_vanishes_leaves_its_place_to_the_next(one_slot: str, tmp_path: Path, number: signal.Signals):
    (tmp_path / "sound.wav").write_bytes(spoken())
    with listening(one_slot) as process:
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == (130 if number == signal.SIGINT else -number)
        assert errors == b""
    done = detect(tmp_path / "sound.wav", "--url", one_slot)
    assert [kind for kind, _ in events(done.stdout)] == ["starts", "ends"]


def test_starts_are_told_while_the_sound_goes_on_and_the_end_when_it_ends(one_slot: str):
    with listening(one_slot) as process:
        output, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, errors) == (0, b"")
        ((kind, _),) = events(output)
        assert kind == "ends"


def test_a_reader_that_has_enough_ends_it_without_a_word(vad_url: str, tmp_path: Path):
    (tmp_path / "sound.wav").write_bytes(spoken())
    command = [*DETECT, str(tmp_path / "sound.wav"), "--url", vad_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE) == 0


def test_a_server_that_goes_away_in_the_middle(model_file: Path, tmp_path: Path):
    from make_repository import write_repository

    write_repository(tmp_path, model_file)
    with ExitStack() as stack:
        with Server(Engine(tmp_path), LOOPBACK) as server:
            url = f"127.0.0.1:{server.grpc_port}"
            process = stack.enter_context(listening(url))
        _, errors = process.communicate(spoken()[-RATE:], timeout=PATIENCE)
        assert process.returncode == 1
        (line,) = errors.decode().splitlines()
        assert line.startswith(f"detect_speech: no answer from {url}: ")


def refused(*options: object, **rest: object) -> str:
    done = detect(*options, **rest)
    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    return line


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "it is empty"), (b"fLaC and so on", "fLaC"), (wav_bytes(np.zeros(0), RATE), "it holds no sound")],
)
def test_a_file_that_is_no_sound_is_named(vad_url: str, tmp_path: Path, content: bytes, words: str):
    path = tmp_path / "sound.wav"
    path.write_bytes(content)
    line = refused(path, "--url", vad_url)
    assert line.startswith(f"detect_speech: {path}: ")
    assert words in line


def test_a_file_that_is_not_there_is_named(vad_url: str, tmp_path: Path):
    assert "none.wav" in refused(tmp_path / "none.wav", "--url", vad_url)


def test_without_a_server_it_says_where_it_looked(tmp_path: Path):
    (tmp_path / "sound.wav").write_bytes(wav_bytes(np.zeros(RATE), RATE))
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{taken.getsockname()[1]}"
        assert f"no answer from {url}" in refused(tmp_path / "sound.wav", "--url", url)


def test_a_server_without_the_model_says_so(grpc_url: str, tmp_path: Path):
    (tmp_path / "sound.wav").write_bytes(wav_bytes(np.zeros(RATE), RATE))
    line = refused(tmp_path / "sound.wav", "--url", grpc_url)
    assert "silero_vad" in line
    assert "README.md" in line


@pytest.mark.parametrize(
    ("option", "value"),
    [("--threshold", value) for value in ("0", "1", "1.5", "loud", "nan")]
    + [("--min-silence", value) for value in ("-1", "long", "nan", "inf")],
)
def test_a_value_that_cannot_be_is_refused(option: str, value: str):
    done = detect("sound.wav", f"{option}={value}")
    assert done.returncode == 2
    assert option in done.stderr.decode()
    assert value in done.stderr.decode()


def test_a_file_or_the_microphone_is_needed():
    for options in [(), ("sound.wav", "--microphone")]:
        assert detect(*options).returncode == 2


# --- the microphone, which no test machine has: `sounddevice` is the other side of the border ---

DEVICE = """
import numpy as np
class PortAudioError(Exception): pass
class InputStream:
    samplerate = {rate}.0
    def __init__(self, channels, dtype):
        assert (channels, dtype) == (1, "float32")
        self.left = np.load({path!r})
    def start(self): pass
    def __enter__(self): return self
    def __exit__(self, *error): pass
    def read(self, frames):
        if not len(self.left): raise KeyboardInterrupt
        read, self.left = self.left[:frames, None], self.left[frames:]
        return read, False
"""


def with_package(tmp_path: Path, code: str) -> dict[str, dict[str, str]]:
    (tmp_path / "sounddevice.py").write_text(code)
    return {"env": {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])}}


def test_the_microphone_is_heard_until_ctrl_c(vad_url: str, tmp_path: Path):
    rate, samples = say("The quick brown fox jumps over the lazy dog")
    sound = np.concatenate([np.zeros(rate), samples / 32768, np.zeros(rate)]).astype(np.float32)
    np.save(tmp_path / "heard.npy", sound)
    package = with_package(tmp_path, DEVICE.format(rate=rate, path=str(tmp_path / "heard.npy")))
    done = detect("--microphone", "--url", vad_url, **package)
    assert (done.returncode, done.stderr) == (130, b"")
    (start, first), (end, last) = events(done.stdout)
    assert (start, end) == ("starts", "ends")
    assert abs(first - 1) < 0.15
    assert abs(last - 1 - len(samples) / rate) < 0.15


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise ImportError", "pip install sounddevice"),
        ("raise OSError('PortAudio library not found')", "apt install libportaudio2"),
        (
            "class PortAudioError(Exception): pass\n"
            "def InputStream(**_): raise PortAudioError('Error querying device -1')",
            "no microphone can be opened: Error querying device -1",
        ),
    ],
)
def test_without_a_microphone_it_says_what_is_missing(tmp_path: Path, code: str, words: str):
    assert words in refused("--microphone", **with_package(tmp_path, code))


# --- the repository ---


def make(*options: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(EXAMPLE / "make_repository.py"), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_the_repository_has_the_model_unchanged_and_no_problem(model_file: Path, tmp_path: Path):
    from tcli_server.models.check import check_repository

    done = make("--model-repository", tmp_path / "audio", "--model", model_file)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "audio" / "silero_vad" / "1" / "model.onnx").read_bytes() == model_file.read_bytes()
    assert not any(check.problems for check in check_repository(tmp_path / "audio"))


def test_a_model_file_that_is_not_there_is_named(tmp_path: Path):
    done = make("--model-repository", tmp_path / "audio", "--model", tmp_path / "none.onnx")
    assert done.returncode == 1
    assert "none.onnx" in done.stderr
    assert "Traceback" not in done.stderr
