"""Models from web servers: what is kept, what is asked again, what is refused."""

import hashlib
import random
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

import onnx_models
from file_server import Answer, FileServer, serve_files
from hub_server import PAGE
from tcli_server.errors import ServerError
from tcli_server.zoo.sources import FetchedModel, WebAddress
from tcli_server.zoo.sources.address import parse_source
from tcli_server.zoo.sources.web import fetch_from_web

MODEL = onnx_models.identity()
LARGE = random.Random(4).randbytes(3_000_000)
pytestmark = pytest.mark.usefixtures("own_cache")


def fetch(url: str, watch: Callable[[str, int, int], None] | None = None, **seconds: float) -> FetchedModel:
    address = parse_source(url)
    assert isinstance(address, WebAddress)
    return fetch_from_web(address, watch, **seconds)


def refusal(url: str, **seconds: float) -> str:
    with pytest.raises(ServerError) as caught:
        fetch(url, **seconds)
    return str(caught.value)


def starts(server: FileServer) -> list[int]:
    return [int(wanted.removeprefix("bytes=").removesuffix("-") or 0) for _, wanted in server.asked]


def test_a_file_with_its_weights_and_a_hash(tmp_path: Path):
    (tmp_path / "weights").mkdir()
    onnx_models.save_with_external_weights(tmp_path / "net.onnx", "weights/net.data")
    model, weights = (tmp_path / "net.onnx").read_bytes(), (tmp_path / "weights" / "net.data").read_bytes()
    with serve_files({"/a/net.onnx?v=2": Answer(model), "/a/weights/net.data?v=2": Answer(weights)}) as server:
        fetched = fetch(f"{server.url}/a/net.onnx?v=2")
    assert fetched.path.read_bytes() == model
    assert (fetched.path.parent / "weights" / "net.data").read_bytes() == weights
    assert fetched.name == "net"
    digest = hashlib.sha256(model).hexdigest()
    assert fetched.comments == (f"From: {server.url}/a/net.onnx?...", f"SHA-256: {digest}")


def test_weights_that_are_not_beside_it(tmp_path: Path):
    onnx_models.save_with_external_weights(tmp_path / "net.onnx", "net.data")
    with serve_files({"/net.onnx": Answer((tmp_path / "net.onnx").read_bytes())}) as server:
        assert refusal(f"{server.url}/net.onnx") == f"{server.url}/net.data: HTTP 404 Not Found: check the address"


def test_a_file_that_is_unchanged_is_not_sent_again():
    with serve_files({"/m.onnx": Answer(MODEL, etag='"1"')}) as server:
        first = fetch(f"{server.url}/m.onnx")
        assert fetch(f"{server.url}/m.onnx").path == first.path
        assert server.statuses == [200, 304]
        server.answers["/m.onnx"] = Answer(onnx_models.identity(shape=("N", 5)), etag='"2"')
        assert fetch(f"{server.url}/m.onnx").path.read_bytes() != MODEL


def test_with_a_hash_the_server_is_not_even_asked():
    digest = hashlib.sha256(MODEL).hexdigest()
    with serve_files({"/m.onnx": Answer(MODEL)}) as server:
        url = f"{server.url}/m.onnx"
        assert fetch(f"{url}#sha256={digest}").path.read_bytes() == MODEL
        assert fetch(f"{url}#sha256={digest}").path.read_bytes() == MODEL
        assert len(server.asked) == 1
        told = refusal(f"{url}#sha256={'0' * 64}")
    assert f"it sent the wrong file: sha256 {digest} instead of {'0' * 64}" in told


def test_a_server_that_is_gone_says_where_the_last_one_is():
    with serve_files({"/m.onnx": Answer(MODEL)}) as server:
        fetched = fetch(f"{server.url}/m.onnx")
    told = refusal(f"{server.url}/m.onnx")
    assert "no connection" in told
    assert f"the one that was fetched before is {fetched.path}" in told


@pytest.mark.parametrize("etag", ['"one"', None])
def test_what_broke_off_is_resumed_only_if_the_file_is_known_to_be_the_same(etag: str | None):
    def stop(_: str, done: int, __: int) -> None:
        if done > 1_000_000:
            raise KeyboardInterrupt

    with serve_files({"/m.onnx": Answer(LARGE, etag=etag)}) as server:
        with pytest.raises(KeyboardInterrupt):
            fetch(f"{server.url}/m.onnx", stop)
        assert "no ONNX file" in refusal(f"{server.url}/m.onnx")
        assert (starts(server)[1] > 1_000_000) is (etag is not None)


def test_half_of_a_file_that_is_another_by_now_is_thrown_away():
    def stop(_: str, done: int, __: int) -> None:
        if done > 1_000_000:
            raise KeyboardInterrupt

    other = random.Random(5).randbytes(len(LARGE))
    with serve_files({"/m.onnx": Answer(LARGE, etag='"one"')}) as server:
        with pytest.raises(KeyboardInterrupt):
            fetch(f"{server.url}/m.onnx", stop)
        server.answers["/m.onnx"] = Answer(other, etag='"two"')
        told = refusal(f"{server.url}/m.onnx")
        assert starts(server)[1] > 1_000_000
    assert "no ONNX file" in told
    kept = Path(told.partition(" is no ONNX")[0])
    assert kept.read_bytes() == other


def test_a_connection_that_breaks_off_is_resumed():
    with serve_files({"/m.onnx": Answer(LARGE, etag='"one"', break_after=1_200_000)}) as server:
        assert "no ONNX file" in refusal(f"{server.url}/m.onnx")
        assert len(starts(server)) >= 3
        assert starts(server) == sorted(set(starts(server)))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(PAGE), "it sent an HTML page titled 'Sign in': give the address of the file itself"),
        (Answer(b"<Error><Code>AccessDenied</Code></Error>"), "it sent a JSON or XML text"),
        (Answer(b""), "it sent an empty file"),
        (Answer(b"no", 404), "HTTP 404 Not Found: check the address"),
        (Answer(b"no", 401), "HTTP 401 Unauthorized: it wants a login: https://USER:PASSWORD@host/..."),
        (Answer(b"no", 403), "HTTP 403 Forbidden: it wants a login"),
        (Answer(MODEL, break_after=0), "the connection broke off again and again: check the address"),
        (Answer(status=302, location="/m.onnx"), "it redirects in a circle, or more than 10 times"),
        (Answer(status=302, location="file:///etc/passwd"), "it redirects to an address of kind 'file:'"),
        (Answer(status=302, location="http://[::bad"), "it redirects to what is no address"),
        (Answer(status=302, location="http://xn--/m.onnx"), "it leads to a host whose name is none"),
        (Answer(status=302, location=f"http://{'a' * 300}/m.onnx"), "it leads to a host whose name is none"),
        (Answer(status=503, retry_after="\xb2"), "HTTP 503 Service Unavailable: fetch the file by hand"),
        (Answer(b"not a model at all"), "no ONNX file, or a truncated one"),
    ],
)
def test_what_is_no_model_is_told_by_the_reason(answer: Answer, told: str):
    with serve_files({"/m.onnx": answer}) as server:
        message = refusal(f"{server.url}/m.onnx")
    assert told in message
    assert "passwd" not in message


def test_a_server_that_says_nothing_is_given_up():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/m.onnx"
        assert "no answer within 0.2 s" in refusal(url, answer_seconds=0.2)


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(own_cache: Path):
    told = pytest.raises(OSError, match="bytes free, 1,152,921,504,606,846,976 are needed")
    with serve_files({"/m.onnx": Answer(LARGE, length=1 << 60)}) as server, told as caught:
        fetch(f"{server.url}/m.onnx")
    assert str(own_cache) in str(caught.value.filename)


def test_a_redirect_is_followed_and_the_name_stays():
    with serve_files({"/other/place": Answer(MODEL)}) as server:
        server.answers["/m.onnx"] = Answer(status=302, location=f"{server.url}/other/place")
        fetched = fetch(f"{server.url}/m.onnx")
    assert fetched.path.name == "m.onnx"
    assert fetched.comments[0] == f"From: {server.url}/m.onnx"


def test_a_file_that_can_never_be_finished_is_given_up():
    with serve_files({"/m.onnx": Answer(LARGE, length=4_000_000)}) as server:
        assert "the connection broke off again and again" in refusal(f"{server.url}/m.onnx")
        assert len(server.asked) == 3
