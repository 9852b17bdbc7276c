"""Speech between silences is found where it is, whoever else is listened to at the same time."""

import io
import threading
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from sound import wav
from vad import chunks, probabilities

from listening import PATIENCE, detect, events, wav_bytes
from spoken import say

SENTENCES = ("The quick brown fox jumps over the lazy dog", "Is anybody there", "Please call me back tomorrow morning")
SILENCES = (1.0, 1.7, 0.9, 1.3)
"""Seconds before, between and after them."""

TOLERANCE = 0.15
STREAMS = 20


def recording(rate: int = 16_000) -> tuple[np.ndarray, list[tuple[str, float]]]:
    """The sentences between silences with a little noise, from -1 to 1, and where they truly start and end."""
    pieces: list[np.ndarray] = [np.zeros(round(SILENCES[0] * rate))]
    truth = []
    for sentence, silence in zip(SENTENCES, SILENCES[1:], strict=True):
        spoken, samples = say(sentence)
        places = np.arange(0, len(samples), spoken / rate)
        truth.append(("starts", sum(map(len, pieces)) / rate))
        pieces.append(np.interp(places, np.arange(len(samples)), samples / 32768))
        truth.append(("ends", sum(map(len, pieces)) / rate))
        pieces.append(np.zeros(round(silence * rate)))
    sound = np.concatenate(pieces)
    return np.clip(sound + np.random.default_rng(0).normal(0, 1e-3, len(sound)), -1, 1), truth


@pytest.mark.parametrize(
    ("rate", "form", "channels"),
    [(16_000, "int16", 1), (44_100, "int24+", 2), (8_000, "uint8", 1), (48_000, "float32", 1), (22_050, "int32", 3)],
)
def test_each_start_and_end_is_found(vad_url: str, tmp_path: Path, rate: int, form: str, channels: int):
    samples, truth = recording(rate)
    path = tmp_path / "recording.wav"
    path.write_bytes(wav_bytes(samples, rate, form, channels))
    done = detect(path, "--url", vad_url)
    assert (done.returncode, done.stderr) == (0, b"")
    found = events(done.stdout)
    assert [kind for kind, _ in found] == [kind for kind, _ in truth]
    distances = [abs(seconds - true) for (_, seconds), (_, true) in zip(found, truth, strict=True)]
    assert max(distances) <= TOLERANCE, f"found {found}, expected {truth}"


def test_streams_at_once_answer_as_one_by_one_and_as_onnx_runtime_alone(vad_url: str, model_file: Path):
    samples, _ = recording()
    sounds = [list(chunks(wav(io.BytesIO(wav_bytes(np.roll(samples, 997 * i), 16_000))))) for i in range(STREAMS)]
    together: dict[int, list[float]] = {}
    everybody = threading.Barrier(STREAMS)

    def listen(index: int) -> None:
        answers = probabilities(sounds[index], vad_url)
        first = next(answers)
        everybody.wait(PATIENCE)  # nobody has to end before another is heard
        together[index] = [first, *answers]

    threads = [threading.Thread(target=listen, args=(index,)) for index in range(STREAMS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Each step runs alone, whoever else is there: the answers are the same to the last bit.
    one_by_one = {index: list(probabilities(sound, vad_url, in_flight=32)) for index, sound in enumerate(sounds)}
    assert together == one_by_one
    assert len({tuple(answers) for answers in together.values()}) == STREAMS

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model_file, options, providers=["CPUExecutionProvider"])
    state, alone = np.zeros((2, 1, 128), np.float32), []
    for chunk in sounds[0]:
        answer, state = session.run(None, {"input": chunk[np.newaxis], "state": state, "sr": np.array(16_000)})
        alone.append(float(answer[0, 0]))
    assert together[0] == alone


def test_silence_and_noise_are_no_speech(vad_url: str, tmp_path: Path):
    noise = np.random.default_rng(0).normal(0, 0.05, 32_000)
    path = tmp_path / "noise.wav"
    path.write_bytes(wav_bytes(np.concatenate([np.zeros(32_000), np.clip(noise, -1, 1)]), 16_000))
    done = detect(path, "--url", vad_url)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_short_pauses_count_if_asked_for(vad_url: str, tmp_path: Path):
    path = tmp_path / "recording.wav"
    path.write_bytes(wav_bytes(recording()[0], 16_000))
    (start, *between, end) = events(detect(path, "--url", vad_url, "--min-silence", 3).stdout)
    assert (start[0], between, end[0]) == ("starts", [], "ends")
