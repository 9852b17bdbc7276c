"""What users write to say where a model is."""

import re
from pathlib import Path

import pytest

from tcli_server.errors import InvalidArgumentError
from tcli_server.zoo.sources.address import HubAddress, WebAddress, is_remote, parse_source


@pytest.mark.parametrize(
    "text",
    ["hf:a/b", "HF:a/b", "hf://a/b", "https://host/m.onnx", "HTTP://host/m", "ftp://host/m", "file:///m", "http:/host"],
)
def test_what_is_remote(text: str):
    assert is_remote(text)


@pytest.mark.parametrize("text", ["m.onnx", "/srv/m.onnx", "C:\\m.onnx", "C:/m.onnx", "a:b.onnx", "hf/m.onnx", ""])
def test_what_is_a_path(text: str):
    assert not is_remote(text)


@pytest.mark.parametrize(
    "text", [f"https://host/m.onnx?signature={'a' * 5000}", f"hf:{'a' * 5000}", "https://ho\0st/m.onnx"]
)
def test_an_address_may_be_what_cannot_be_a_path(text: str):
    """Addresses that are signed are longer than the name of any file."""
    assert is_remote(text)


def test_a_file_of_such_a_name_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert is_remote("hf:model.onnx")
    Path("hf:model.onnx").touch()
    assert not is_remote("hf:model.onnx")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf:org/name", HubAddress("org/name")),
        ("hf://org/name/", HubAddress("org/name")),
        ("hf:org/name/onnx/model.onnx", HubAddress("org/name", "onnx/model.onnx")),
        ("hf:org/name@v1.0", HubAddress("org/name", None, "v1.0")),
        ("hf:org/na.me-2/m.onnx@refs/pr/3", HubAddress("org/na.me-2", "m.onnx", "refs/pr/3")),
        ("https://huggingface.co/org/name", HubAddress("org/name")),
        ("https://huggingface.co/org/name/tree/main", HubAddress("org/name", None, "main")),
        ("https://hf.co/org/name/blob/v1/onnx/a%20b.onnx", HubAddress("org/name", "onnx/a b.onnx", "v1")),
    ],
)
def test_addresses_of_the_hub(text: str, address: HubAddress):
    assert parse_source(text) == address
    assert parse_source(str(address)) == address


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hf:", "expected hf:ORG/NAME[/FILE][@REVISION]"),
        ("hf:bert", "expected hf:ORG/NAME[/FILE][@REVISION]"),
        ("hf:org/name@", "expected hf:ORG/NAME[/FILE][@REVISION]"),
        ("hf:org/n me", "expected hf:ORG/NAME[/FILE][@REVISION]"),
        ("hf:org/name/../../etc/passwd", "no path inside of a repository"),
        ("hf:org/name/a//b.onnx", "no path inside of a repository"),
        ("hf:org/name/a\\..\\b.onnx", "no path inside of a repository"),
        ("file:///srv/my%20model.onnx", "named by their path: '/srv/my model.onnx'"),
        ("ftp://host/m.onnx", "addresses of kind 'ftp:' are not fetched, expected https:// or hf:ORG/NAME"),
        ("s3://bucket/m.onnx", "aws s3 cp s3://bucket/m.onnx ."),
        ("gopher://me:secret@host/m?key=secret", "'gopher://host/m?...'"),
        ("http:/host/m.onnx", "is no address, expected https://host/path/model.onnx"),
        ("https:///m.onnx", "is no address"),
        ("https://me:se/cret@host/m.onnx", "write '/' as %2F"),
        ("https://host:port/m.onnx", "is no address"),
        ("https://host/m .onnx", "is no address"),
        ("https://host/", "https://host/ names no file"),
        ("https://host", "https://host names no file"),
        ("https://host/m.onnx#sha256=12", "expected #sha256= and 64 hexadecimal digits"),
        ("https://github.com/a/b/blob/main/m.onnx", "the file itself is https://github.com/a/b/raw/main/m.onnx"),
    ],
)
def test_what_is_refused_is_told_what_was_expected(text: str, told: str):
    with pytest.raises(InvalidArgumentError) as caught:
        parse_source(text)
    assert told in str(caught.value)
    assert not re.search("secret|cret|'se'", str(caught.value))


def test_what_is_secret_in_an_address_is_kept_and_not_shown():
    address = parse_source("https://me:pass@host:8443/a/model.onnx?sig=abc")
    assert isinstance(address, WebAddress)
    assert address.url == "https://me:pass@host:8443/a/model.onnx?sig=abc"
    assert str(address) == "https://host:8443/a/model.onnx?..."
    assert address.file == "model.onnx"


def test_a_hash_behind_the_address_is_what_the_file_must_have():
    assert parse_source(f"https://host/m.onnx#sha256={'AB' * 32}") == WebAddress("https://host/m.onnx", "ab" * 32)


def test_a_file_of_the_hub_by_its_address_has_a_name_there_too():
    address = parse_source("https://huggingface.co/org/name/resolve/v1/onnx/model.onnx?download=true")
    assert isinstance(address, WebAddress)
    assert address.in_hub == HubAddress("org/name", "onnx/model.onnx", "v1")
    other = parse_source("https://host/org/name/resolve/v1/onnx/model.onnx")
    assert isinstance(other, WebAddress)
    assert other.in_hub is None


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("hf:org/na.me-2", "na.me-2"),
        ("hf:org/name/onnx/model_quantized.onnx", "name"),
        ("hf:org/name/nets/densenet 7.onnx", "densenet_7"),
        ("https://host/a/resnet%2050.onnx?x=1", "resnet_50"),
        ("https://host/---.onnx", "model"),
    ],
)
def test_what_the_model_is_called(address: str, name: str):
    assert parse_source(address).name == name
