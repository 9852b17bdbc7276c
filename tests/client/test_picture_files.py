"""Which files an argument means."""

import os

import pytest

from tcli_client import ImageError, find_pictures


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for name in (
        "b.jpg",
        "a.PNG",
        "notes.md",
        ".hidden.jpg",
        "odd[1].jpg",
        "sub/c.jpg",
        "sub/deep/d.webp",
        "none/x.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("./b.jpg", ["./b.jpg"]),
        ("notes.md", ["notes.md"]),
        ("missing.jpg", ["missing.jpg"]),
        (".", ["./a.PNG", "./b.jpg", "./odd[1].jpg"]),
        ("./sub/", ["./sub/c.jpg"]),
        ("./b*", ["./b.jpg"]),
        ("odd[1].jpg", ["odd[1].jpg"]),
        ("**/*.jpg", ["b.jpg", "odd[1].jpg", "sub/c.jpg"]),
        ("s*", ["sub/c.jpg"]),
        ("sub/**", ["sub/c.jpg", "sub/deep/d.webp"]),
    ],
)
def test_arguments(argument, expected):
    assert sorted(find_pictures(argument)) == [name.replace("/", os.sep) for name in expected]


@pytest.mark.parametrize(("argument", "says"), [("none", "no picture in this folder"), ("x*.jpg", "no file matches")])
def test_an_argument_without_pictures_is_named(argument, says):
    with pytest.raises(ImageError, match=says):
        find_pictures(argument)
