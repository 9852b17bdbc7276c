"""Sound of any kind reaches the model as the same samples."""

import io

import numpy as np
import pytest
from resampling import Resampler
from sound import SoundError, wav
from vad import chunks

from listening import wav_bytes, wav_file

FORMS = {
    "uint8": 2 / 127,
    "int16": 1e-4,
    "int24": 1e-6,
    "int32": 1e-6,
    "float32": 1e-6,
    "float64": 1e-6,
    "int24+": 1e-6,
}
"""How exact each is."""


def tone(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def read(data: bytes) -> np.ndarray:
    return np.concatenate(list(wav(io.BytesIO(data)).blocks))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_every_form_gives_the_samples(form: str, channels: int):
    samples = tone(440, 16_000)
    read_back = read(wav_bytes(samples, 16_000, form, channels))
    assert read_back.dtype == np.float32
    np.testing.assert_allclose(read_back, samples, atol=FORMS[form])


def test_channels_are_averaged():
    left, right = np.full(100, 0.5), np.full(100, -0.25)
    data = np.stack([left, right], axis=1).astype("f4").tobytes()
    assert np.all(read(wav_file(3, 32, 2, 16_000, data)) == 0.125)


def test_what_is_no_number_is_silence_and_what_is_too_loud_is_loud():
    data = np.array([np.nan, np.inf, -np.inf, 7, 0.5], "f4").tobytes()
    assert read(wav_file(3, 32, 1, 16_000, data)).tolist() == [0, 1, -1, 1, 0.5]


def test_a_file_that_was_cut_gives_what_is_there():
    samples = tone(440, 16_000)
    whole = wav_bytes(samples, 16_000, "int24", 2)
    assert len(read(whole[:-5])) == len(samples) - 1


def test_a_pipe_whose_length_nobody_knew_is_read_to_its_end():
    whole = wav_bytes(tone(440, 16_000), 16_000)
    place = whole.index(b"data") + 4
    endless = whole[:place] + b"\xff\xff\xff\xff" + whole[place + 4 :]
    assert np.array_equal(read(endless), read(whole))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ["expected a WAV file", "it is empty"]),
        (b"ID3\x04 and so on: music", ["expected a WAV file", "ID3", "ffmpeg"]),
        (wav_bytes(tone(440, 16_000), 16_000)[:30], ["`data`", "ends before"]),
        (wav_file(7, 8, 1, 8_000, b"\xff" * 100), ["WAV format 7 of 8 bits", "expected PCM", "ffmpeg"]),
        (wav_file(1, 12, 1, 8_000, b"\xff" * 100), ["WAV format 1 of 12 bits"]),
        (wav_file(1, 16, 0, 8_000, b""), ["0 channels"]),
        (wav_file(1, 16, 1, 0, bytes(100)), ["4000 to 768000 Hz", "found 0"]),
        (wav_file(1, 16, 1, 16_000, b""), ["no sound"]),
        (b"RIFF\0\0\0\0WAVEdata\x04\0\0\0abcd", ["`fmt `"]),
    ],
)
def test_what_is_no_sound_is_refused_with_what_was_expected(data: bytes, words: list[str]):
    with pytest.raises(SoundError) as caught:
        read(data)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 44_101, 192_000])
def test_a_tone_stays_itself_at_another_rate(rate: int):
    resampler = Resampler(rate, 16_000)
    made = np.concatenate([resampler.feed(tone(1_000, rate).astype(np.float32)), resampler.finish()])
    assert len(made) == 16_000
    inside = slice(200, -200)  # silence is before and after it
    np.testing.assert_allclose(made[inside], tone(1_000, 16_000)[inside], atol=1e-3)


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_what_the_new_rate_cannot_hold_does_not_fold_back(rate: int):
    made = Resampler(rate, 16_000).feed(tone(11_000, rate).astype(np.float32))
    assert np.abs(made[200:]).max() < 0.5 / 300  # 50 dB


@pytest.mark.parametrize("rate", [8_000, 44_100, 96_000])
def test_pieces_give_what_the_whole_gives(rate: int):
    sound = np.random.default_rng(0).uniform(-1, 1, 30_000).astype(np.float32)
    whole = Resampler(rate, 16_000)
    expected = np.concatenate([whole.feed(sound), whole.finish()])
    pieces = Resampler(rate, 16_000)
    borders = np.cumsum(np.random.default_rng(1).integers(0, 700, 80))
    made = [pieces.feed(piece) for piece in np.split(sound, borders[borders < len(sound)])]
    np.testing.assert_allclose(np.concatenate([*made, pieces.finish()]), expected, atol=1e-6)


def test_each_chunk_begins_with_the_end_of_the_one_before():
    samples = np.random.default_rng(0).uniform(-1, 1, 1_300)
    first, second, third = chunks(wav(io.BytesIO(wav_bytes(samples, 16_000, "float32"))))
    assert not first[:64].any()
    assert np.array_equal(second[:64], first[-64:])
    assert np.array_equal(third[:64], second[-64:])
    heard = np.concatenate([first[64:], second[64:], third[64:]])
    np.testing.assert_allclose(heard[:1_300], samples, atol=1e-6)
    assert len(heard) == 3 * 512
    assert not heard[1_300:].any()
