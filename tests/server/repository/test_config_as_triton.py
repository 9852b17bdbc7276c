"""Texts that a real Triton 2.51 was given as config.pbtxt: what its parser reads is read, what it refuses is told."""

from pathlib import Path

import pytest

from tcli_server.repository import read_config_file

READ = [
    "max_batch_size: 0x8",
    "max_batch_size: 0X8",
    "max_batch_size: 010",
    "max_batch_size: 00",
    "max_batch_size: -0",
    "max_batch_size: - 8",
    "input { dims: - # minus\n1 }",
    "max_batch_size: -2147483648",
    "max_batch_size: 0 max_batch_size: 8",
    'input { name: "" name: "a" }',
    "max_batch_size :\v8,",
    'name:"x"platform:"y"',
    'name: "a" ; platform: "b" ,',
    "name: \"a\" 'b'",
    'name: "\\?\\u00e9\\x414\\000"',
    'name: "a\tb\rc\x7f"',
    "# x\rname: 5",
    b'# caf\xe9\nname: "m"',
    "max_batch_size: 8 # ä",
    "input { optional: 0x1 }",
    "input { dims: [ ] }",
    "input [ ]",
    'input: < name: "x" >',
    "input { dims: 1 dims: [ 2, 3 ] }",
    'parameters { key: "a" } parameters { key: "a" }',
    "parameters { value { } }",
    "sequence_batching { direct { minimum_slot_utilization: 1f } }",
    "sequence_batching { direct { minimum_slot_utilization: .5 } }",
    "sequence_batching { direct { minimum_slot_utilization: -nan } }",
    "sequence_batching { direct { minimum_slot_utilization: -inf } }",
    "dynamic_batching { max_queue_delay_microseconds: 18446744073709551615 }",
    "dynamic_batching { default_queue_policy { max_queue_size: 0 } }",
    "dynamic_batching { default_queue_policy { max_queue_size: 4294967295 } }",
    "input { dims: [ -9223372036854775808, 9223372036854775807 ] }",
    "input { data_type: 11 }",
]
REFUSED = [
    "max_batch_size:\u00a08",
    "\ufeffmax_batch_size: 8",
    "max_batch_size:\x1c8",
    "max_batch_size:\x858",
    "max_batch_size: +8",
    "max_batch_size: 08",
    "max_batch_size: 1_000",
    "max_batch_size: 0b11",
    "max_batch_size: 0o7",
    "max_batch_size: 1e1",
    "max_batch_size: 0x",
    "max_batch_size: 2147483648",
    "max_batch_size: 8dims",
    "max_batch_size: 8;;",
    ",max_batch_size: 8",
    "max_batch_size: 8 max_batch_size: 8",
    "dynamic_batching { max_queue_delay_microseconds: -0 }",
    "dynamic_batching { max_queue_delay_microseconds: 18446744073709551616 }",
    "dynamic_batching { default_queue_policy { max_queue_size: 4294967296 } }",
    "input { dims: 9223372036854775808 }",
    "input { dims: -9223372036854775809 }",
    "max_batch_size: -2147483649",
    "sequence_batching { direct { minimum_slot_utilization: 0x1 } }",
    "sequence_batching { direct { minimum_slot_utilization: 012 } }",
    'name: "a\\d"',
    'name: "\\8"',
    'name: "\\X41"',
    'name: "\\u12"',
    'name: "a\nb"',
    'name: "a\0b"',
    'name: u8"a"',
    "# \0 a\n",
    "input { dims: [ 3, ] }",
    'input { name: "x" >',
    "input { optional: T }",
    "input { reshape { } reshape { } }",
    "version_policy { latest { } all { } }",
    "[a.b]: 5",
    '{ name: "x" }',
]
"""protobuf's parser for Python reads many of these: it is no judge of what Triton can read."""


def problems(folder: Path, text: str | bytes) -> list[str]:
    path = folder / "config.pbtxt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [str(problem) for problem in read_config_file(path).problems]


@pytest.mark.parametrize("text", READ)
def test_what_triton_reads_is_read(tmp_path: Path, text: str | bytes):
    assert problems(tmp_path, text) == []


@pytest.mark.parametrize("text", REFUSED)
def test_what_triton_cannot_read_is_told(tmp_path: Path, text: str):
    assert problems(tmp_path, text) != []


def test_escapes_mean_what_they_mean_in_c(tmp_path: Path):
    path = tmp_path / "config.pbtxt"
    path.write_text(r'name: "a\?b\?\\?\x41\303\244\n"')
    assert read_config_file(path).config.name == "a?b?\\?A\u00e4\n"


@pytest.mark.parametrize(
    ("text", "number"), [("010", 8), ("0x10", 16), ("0X1f", 31), ("10", 10), ("- 8", -8), ("0", 0)]
)
def test_numbers_mean_what_they_mean_in_c(tmp_path: Path, text: str, number: int):
    path = tmp_path / "config.pbtxt"
    path.write_text(f"max_batch_size: {text}")
    assert read_config_file(path).config.max_batch_size == number
