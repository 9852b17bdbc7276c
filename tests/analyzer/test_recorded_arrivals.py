"""Files that say when requests came, good ones and bad ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from tcli_analyzer.arrivals import replayed
from tcli_analyzer.load.recordings import ArrivalFormat, ArrivalsError, read_arrivals

APACHE = '127.0.0.1 - - [10/Oct/2026:13:55:{:02d} +0200] "POST /v2/models/m/infer HTTP/1.1" 200 77\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "arrivals"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "kind", "moments"),
    [
        ("100000\n50000\n250000\n", ArrivalFormat.GAPS, [0, 0.05, 0.3]),
        ("# seconds\n5\n5.5\n7\n", ArrivalFormat.TIMES, [0, 0.5, 2]),
        ("[10, 10.25, 11]", ArrivalFormat.TIMES, [0, 0.25, 1]),
        ('{"timestamp": 0, "input_length": 6755}\n{"timestamp": 27482}\n', ArrivalFormat.TIMESTAMPS, [0, 27.482]),
        (json.dumps({"data": [{"timestamp": 40}, [{"timestamp": [90]}]]}), ArrivalFormat.TIMESTAMPS, [0, 0.05]),
        (APACHE.format(1) + APACHE.format(1) + APACHE.format(3), ArrivalFormat.LOG, [0, 0.5, 2]),
        ("2026-10-10T13:55:36.250Z GET /\n2026-10-10T15:55:37+02:00 GET /\n", ArrivalFormat.LOG, [0, 0.75]),
        ("2026-10-10 13:55:36,100 a\n2026-10-10 13:55:36,350 b\n", ArrivalFormat.LOG, [0, 0.25]),
    ],
)
def test_formats_are_told_by_what_is_in_them(tmp_path, text: str, kind: ArrivalFormat, moments: list[float]):
    found = read_arrivals(written(tmp_path, text))
    assert found.format is kind
    assert found.moments == pytest.approx(np.array(moments))


def test_a_format_can_be_said(tmp_path):
    path = written(tmp_path, "100\n200\n300\n")
    assert read_arrivals(path).moments[-1] == 200
    assert read_arrivals(path, ArrivalFormat.GAPS).moments[-1] == pytest.approx(500e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("100\n-5\n", ":2: found '-5'; expected a number from 0"),
        ("100\nabc\n", ":2: found 'abc'"),
        ("100\nnan\n7\n", ":2: found 'nan'"),
        ("0\n0\n0\n", "all 3 requests came at the same moment"),
        ('{"timestamp": 1}\n{"time": 2}\n', ":2: no 'timestamp'; expected a 'timestamp' in milliseconds"),
        ('{"timestamp": 1}\n{"timestamp": "2"}\n', ":2: 'timestamp' \"2\""),
        ('{"timestamp": 1}\n{"timestamp"\n', ":2: not JSON"),
        ('{"timestamp": 1}\n', "1 requests; expected at least 2"),
        ('{"data": [{"timestamp": 1}, {"x": 2}]}', "entry 1 of its data: no 'timestamp'"),
        ("[1, true]", "element 1 of the list is true"),
        (APACHE.format(1) + "no time here\n", ":2: no time in 'no time here'"),
        (APACHE.format(1) + APACHE.format(77), ":2: no time in"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, text: str, said: str):
    path = written(tmp_path, text)
    with pytest.raises(ArrivalsError) as raised:
        read_arrivals(path)
    assert said in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(ArrivalsError, match="No such file"):
        read_arrivals(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ArrivalsError, match="not a text file"):
        read_arrivals(tmp_path / "binary")


def test_a_part_of_it_faster(tmp_path):
    path = written(tmp_path, "".join(f"{moment}\n" for moment in [0, 1, 2, 3, 4, 6, 8]))
    part = read_arrivals(path).window(2, 5)
    assert part.moments == pytest.approx([0, 1, 2])
    load = part.load(speed=4)
    assert load.rate == pytest.approx(4)
    with pytest.raises(ArrivalsError, match="from 5 to 6 s it has 0 requests; it has times from 0 to 8 s"):
        read_arrivals(path).window(5, 6)


def test_it_begins_again_or_ends(tmp_path):
    recording = read_arrivals(written(tmp_path, "0\n1\n3\n"))
    once = list(replayed(recording.gaps_seconds, loop=False))
    assert np.diff(once) == pytest.approx([1, 2])
    endless = replayed(recording.gaps_seconds, speed=2)
    assert np.diff([next(endless) for _ in range(6)]) == pytest.approx([0.5, 1, 0.75, 0.5, 1])


def test_perf_analyzers_gaps_are_repeated_as_they_are(tmp_path):
    load = read_arrivals(written(tmp_path, "100000\n50000\n")).load()
    moments = replayed(load.gaps_seconds)
    assert [next(moments) for _ in range(4)] == pytest.approx([0.1, 0.15, 0.25, 0.3])
    assert load.rate == pytest.approx(2 / 0.15)
    assert read_arrivals(written(tmp_path, "20000\n")).load().rate == pytest.approx(50)
