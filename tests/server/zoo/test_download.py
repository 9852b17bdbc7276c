"""Downloads against a server on loopback: good, broken, lying and dead sources."""

import hashlib
import random
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from file_server import Answer, serve_files
from tcli_server.errors import UnavailableError
from tcli_server.zoo.download import DownloadError, RemoteFile, cache_folder, fetch
from tcli_server.zoo.expected import Expected
from tcli_server.zoo.transfer import new_client, transfer

BODY = random.Random(7).randbytes(3_000_000)
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:79c3bc\nsize 32719461\n"
PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body></body></html>"


def remote(*urls: str) -> RemoteFile:
    return RemoteFile("model.bin", len(BODY), hashlib.sha256(BODY).hexdigest(), urls)


@pytest.fixture
def dead_url() -> Callable[[], str]:
    def url() -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return f"http://127.0.0.1:{free.getsockname()[1]}/model.bin"

    return url


def test_a_file_is_downloaded_with_progress_and_then_found_in_the_cache(tmp_path: Path):
    seen: list[tuple[int, int]] = []
    with serve_files({"/f": Answer(BODY)}) as server:
        file = remote(f"{server.url}/f")
        path = fetch(file, tmp_path, progress=lambda done, total: seen.append((done, total)))
        assert path.read_bytes() == BODY
        assert seen[-1] == (len(BODY), len(BODY))
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        assert fetch(file, tmp_path) == path
        assert len(server.asked) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.bin"]


def test_a_connection_that_breaks_off_is_resumed_where_it_was(tmp_path: Path):
    with serve_files({"/f": Answer(BODY, break_after=1_200_000)}) as server:
        assert fetch(remote(f"{server.url}/f"), tmp_path).read_bytes() == BODY
        ranges = [wanted for _, wanted in server.asked]
    assert ranges[0] == ""
    assert len(ranges) >= 3
    assert all(wanted.startswith("bytes=") for wanted in ranges[1:])


def test_a_later_call_goes_on_where_an_earlier_one_stopped(tmp_path: Path):
    def stop(done: int, _: int) -> None:
        if done > 1_000_000:
            raise KeyboardInterrupt

    with serve_files({"/f": Answer(BODY)}) as server:
        with pytest.raises(KeyboardInterrupt):
            fetch(remote(f"{server.url}/f"), tmp_path, progress=stop)
        assert not (tmp_path / "model.bin").exists()
        assert fetch(remote(f"{server.url}/f"), tmp_path).read_bytes() == BODY
        assert int(server.asked[1][1].removeprefix("bytes=").removesuffix("-")) > 1_000_000


def test_a_source_that_cannot_resume_sends_the_whole_again(tmp_path: Path):
    (tmp_path / "model.bin.part").write_bytes(BODY[:500_000])
    with serve_files({"/f": Answer(BODY, ranges=False)}) as server:
        assert fetch(remote(f"{server.url}/f"), tmp_path).read_bytes() == BODY


def test_a_wrong_beginning_from_an_earlier_source_is_thrown_away(tmp_path: Path):
    (tmp_path / "model.bin.part").write_bytes(b"x" * 500_000)
    with serve_files({"/f": Answer(BODY)}) as server:
        assert fetch(remote(f"{server.url}/f"), tmp_path).read_bytes() == BODY
        assert [wanted for _, wanted in server.asked] == ["bytes=500000-", ""]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(LFS_POINTER), "a Git LFS pointer for a file of 32,719,461 bytes"),
        (Answer(PAGE), "an HTML page titled 'Sign in'"),
        (Answer(b""), "an empty file"),
        (Answer(b'{"error": "gone"}'), "a JSON or XML text"),
        (Answer(BODY[:-5] + b"wrong"), "sha256"),
        (Answer(BODY + b"more"), "3,000,004 bytes instead of 3,000,000"),
        (Answer(b"no", 404), "HTTP 404"),
        (Answer(BODY, break_after=0), "broke off"),
    ],
)
def test_a_wrong_source_is_named_and_the_next_one_asked(
    tmp_path: Path, dead_url: Callable[[], str], answer: Answer, reason: str
):
    with serve_files({"/wrong": answer, "/right": Answer(BODY)}) as server:
        wrong, right = f"{server.url}/wrong", f"{server.url}/right"
        with pytest.raises(DownloadError) as caught:
            fetch(remote(wrong, dead_url()), tmp_path)
        assert caught.value.reasons[0][0] == wrong
        assert reason in caught.value.reasons[0][1]
        assert "no connection" in caught.value.reasons[1][1]
        assert not (tmp_path / "model.bin").exists()
        assert fetch(remote(wrong, dead_url(), right), tmp_path).read_bytes() == BODY


def test_redirects_are_followed(tmp_path: Path):
    with serve_files({"/f": Answer(BODY)}) as server:
        server.answers["/moved"] = Answer(status=302, location=f"{server.url}/f")
        assert fetch(remote(f"{server.url}/moved"), tmp_path).read_bytes() == BODY


def test_a_source_that_never_answers_is_given_up(tmp_path: Path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/f"
        with pytest.raises(DownloadError, match=r"no answer within 0\.2 s"):
            fetch(remote(url), tmp_path, answer_seconds=0.2)


@pytest.mark.parametrize(("url", "reason"), [("htp://host/f", "protocol"), ("http://host:port/f", "not a URL")])
def test_what_is_no_url_is_said_to_be_none(tmp_path: Path, url: str, reason: str):
    with pytest.raises(DownloadError, match=reason):
        fetch(remote(url), tmp_path)


def test_the_cache_is_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "tcli" / "models"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch):
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(UnavailableError, match="set XDG_CACHE_HOME"):
        cache_folder()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
@pytest.mark.parametrize("sized", [True, False])
def test_a_disk_that_is_full_is_named_and_not_kept_full_by_what_may_never_end(tmp_path: Path, sized: bool):
    part = tmp_path / "m.onnx.part"
    part.symlink_to("/dev/full")
    with (
        serve_files({"/m.onnx": Answer(b"x" * 3_000_000, sized=sized)}) as server,
        new_client() as client,
        pytest.raises(OSError, match="the disk was full after" if not sized else "No space left") as caught,
    ):
        transfer(client, f"{server.url}/m.onnx", part, Expected(), name="m.onnx")
    assert caught.value.filename == str(part)
    assert part.is_symlink() is sized
