"""`tcli serve --cache-config`: what it takes, and what it says of the rest."""

import pytest
import typer

from triton_cli.serve_settings import cache_size


@pytest.mark.parametrize(
    ("configs", "byte_size", "size"), [([], 0, 0), (["local,size=4096"], 0, 4096), ([], 8192, 8192)]
)
def test_a_size_in_either_form(configs: list[str], byte_size: int, size: int):
    assert cache_size(configs, byte_size) == size


def test_a_cache_too_small_for_anything_starts_with_a_warning(capsys: pytest.CaptureFixture[str]):
    assert cache_size(["local,size=200"], 0) == 200
    assert "a response cache of 200 bytes holds nothing: give it 1024 bytes or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("configs", "byte_size", "words"),
    [
        (["local,size=8192", "redis,key=value"], 0, "multiple cache configurations"),
        (["local,size=8192"], 12345, "incompatible flags"),
        (["redis,host=localhost"], 0, "--cache-config=redis is not supported"),
        (["local,size=0"], 0, "holds nothing"),
    ],
)
def test_what_cannot_be_is_refused(configs: list[str], byte_size: int, words: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(typer.Exit):
        cache_size(configs, byte_size)
    assert words in capsys.readouterr().err
