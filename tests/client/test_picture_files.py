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


@pytest.mark.parametrize(
    "name", ["IMG_1.HEIC", "a.heif", "a.avif", "a.jxl", "a.CR2", "a.dng", "a.nef", "a.svg", "a.exr", "a.psd", "a.jfif"]
)
def test_pictures_that_are_not_read_are_not_passed_over(tmp_path, name):
    (tmp_path / "sub" / name).touch()
    assert sorted(find_pictures("./sub")) == sorted([f"./sub/{name}", "./sub/c.jpg"])


def test_a_folder_without_pictures_tells_what_it_has(tmp_path):
    for name in ("a.pdf", "b.PDF", "README"):
        (tmp_path / "none" / name).touch()
    with pytest.raises(
        ImageError, match=r"no picture in this folder: the names of its 4 files end in \.pdf, \.txt, no ending"
    ):
        find_pictures("none")


@pytest.mark.parametrize(
    ("argument", "fix"),
    [
        ("https://host/cat.jpg", "download it first: curl -LO https://host/cat.jpg"),
        ("HTTP://host/cat.jpg?size=3&x=[1]", "download it first: curl -LO 'HTTP://host/cat.jpg?size=3&x=[1]'"),
        ("ftp://host/*.jpg", "download it first: curl -LO 'ftp://host/*.jpg'"),
        ("s3://bucket/cat.jpg", "download it first: aws s3 cp s3://bucket/cat.jpg ."),
        ("gs://bucket/cat.jpg", "download it first: gcloud storage cp gs://bucket/cat.jpg ."),
        ("file:///path/my%20cat.jpg", "give the file's path: /path/my cat.jpg"),
    ],
)
def test_addresses_are_not_fetched(argument, fix):
    with pytest.raises(ImageError, match="addresses are not fetched") as refused:
        find_pictures(argument)
    assert refused.value.fix == fix


def test_a_data_uri_is_not_read():
    with pytest.raises(ImageError, match="data URI"):
        find_pictures("data:image/png;base64,iVBORw0KGgo=")


def test_a_file_whose_path_looks_like_an_address_is_a_file(tmp_path):
    (tmp_path / "https:" / "host").mkdir(parents=True)
    (tmp_path / "https:" / "host" / "cat.jpg").touch()
    assert find_pictures("https://host/cat.jpg") == ["https://host/cat.jpg"]


@pytest.mark.parametrize(
    ("argument", "says", "fix"),
    [
        ("missing.jpg", "there is no such file", ""),
        ("./c.jpg", "there is no such file", "did you mean './b.jpg'?"),
        ("sub/cc.jpg", "there is no such file", "did you mean 'sub/c.jpg'?"),
        ("b.jpg/x.jpg", "there is no such file", ""),
        ("nowhere/b.jpg", "there is no such file", ""),
        ("-", "there is no such file", "to read a picture from a pipe, name /dev/stdin"),
        ("C:\\photos\\cat.jpg", "there is no such file", ""),
        ("a\udc80.jpg", "there is no such file", None),
        ("x" * 5000, "it cannot be read: File name too long", ""),
        ("", "there is no such file", ""),
    ],
)
def test_a_file_that_is_not_there(argument, says, fix):
    with pytest.raises(ImageError, match=says) as refused:
        find_pictures(argument)
    assert fix is None or refused.value.fix == fix
