"""Models of the hub, by the hub's own client, from a hub on loopback: good, broken, lying, closed."""

import hashlib
import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import onnx_models
from hub_server import PAGE, Fault, Hub, Repository
from tcli_server.errors import ServerError
from tcli_server.zoo.sources import FetchedModel, fetch_source

MODEL = onnx_models.identity()
LARGE = random.Random(3).randbytes(3_000_000)
"""Bytes for a file that nobody reads as a model."""


def put(hub: Hub, files: dict[str, bytes], **more: object) -> Repository:
    repository = Repository(files, **more)
    hub.repositories["org/name"] = repository
    return repository


def refusal(text: str) -> str:
    with pytest.raises(ServerError) as caught:
        fetch_source(text)
    message = str(caught.value)
    assert "Traceback" not in message
    return message


def test_a_model_with_what_says_where_it_is_from(hub: Hub):
    put(hub, {"model.onnx": MODEL, "README.md": b"# Read me"}, large={"model.onnx"}, card={"license": "apache-2.0"})
    fetched = fetch_source("hf:org/name")
    assert fetched.path.read_bytes() == MODEL
    assert fetched.name == "name"
    assert fetched.comments == (
        f"From: {hub.url}/org/name, file model.onnx",
        f"Revision: {'c0ffee00' * 5}",
        "Licence: apache-2.0",
        f"SHA-256: {hashlib.sha256(MODEL).hexdigest()}",
    )
    assert hub.files_asked() == ["model.onnx"]


def test_only_what_the_model_needs_is_fetched(hub: Hub, tmp_path: Path):
    onnx_models.save_with_external_weights(tmp_path / "model.onnx", "weights.bin")
    files = {
        "onnx/model.onnx": (tmp_path / "model.onnx").read_bytes(),
        "onnx/weights.bin": (tmp_path / "weights.bin").read_bytes(),
        "config.json": b'{"id2label": {"0": "cat"}}',
        "preprocessor_config.json": b"{}",
        "onnx/preprocessor_config.json": b'{"size": 3}',
        "model.safetensors": LARGE,
        "tokenizer.json": b"{}",
    }
    put(hub, files, large={"onnx/model.onnx", "onnx/weights.bin"})
    fetched = fetch_source("hf:org/name")
    wanted = ["onnx/model.onnx", "onnx/weights.bin", "config.json", "onnx/preprocessor_config.json"]
    assert hub.files_asked() == wanted
    assert fetched.beside is not None
    there = {
        path.name: path.read_bytes() for folder in (fetched.path.parent, fetched.beside) for path in folder.iterdir()
    }
    assert there == {file.rpartition("/")[2]: files[file] for file in wanted}


@pytest.mark.parametrize("folder", ["", "tf/"])
def test_of_a_folder_that_is_a_model_as_a_whole_its_files_are_fetched(hub: Hub, folder: str):
    model = ["saved_model.pb", "fingerprint.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
    others = ["README.md", "tf_model.h5", "flax_model.msgpack", "fine/variables.txt"]
    put(hub, {**{f"{folder}{file}": b"\x08" + file.encode() for file in model}, **dict.fromkeys(others, b"x")})
    fetched = fetch_source("hf:org/name/tf" if folder else "hf:org/name")
    assert fetched.path.name == "saved_model.pb"
    there = [path for path in fetched.path.parent.rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(fetched.path.parent)) for path in there) == sorted(model)


def test_what_was_fetched_is_not_fetched_again(hub: Hub):
    put(hub, {"model.onnx": MODEL, "config.json": b"{}"}, large={"model.onnx"})
    first = fetch_source("hf:org/name")
    hub.asked.clear()
    assert fetch_source("hf:org/name@main").path == first.path
    assert [asked.path.partition("?")[0] for asked in hub.asked] == ["/api/models/org/name/revision/main"]


def test_another_commit_is_another_model(hub: Hub):
    put(hub, {"model.onnx": MODEL})
    old = fetch_source("hf:org/name")
    put(hub, {"model.onnx": onnx_models.identity(shape=("N", 5))}, commit="beef" * 10)
    new = fetch_source("hf:org/name@main")
    assert "Revision: beefbeefbeefbeefbeefbeefbeefbeefbeefbeef (main)" in new.comments
    assert new.path.read_bytes() != old.path.read_bytes() == MODEL


def test_a_private_repository_is_read_with_the_token_and_only_the_hub_sees_it(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
):
    put(hub, {"model.onnx": MODEL}, large={"model.onnx"}, token="hf_secret")
    told = refusal("hf:org/name")
    assert f"hf:org/name: {hub.url} has no such repository, or it is private" in told
    assert "set HF_TOKEN to a token of yours that may read it, or run 'hf auth login'" in told
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "the token that is set may not read it" in refusal("hf:org/name")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetched = fetch_source("hf:org/name")
    assert fetched.path.read_bytes() == MODEL
    assert "secret" not in "".join(fetched.comments)
    on_content_server = [asked for asked in hub.asked if asked.on_content_server]
    assert on_content_server
    assert all("Authorization" not in asked.headers for asked in on_content_server)


def test_a_gated_repository_says_where_to_agree(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    put(hub, {"model.onnx": MODEL}, gated=True, token="hf_secret")
    told = refusal("hf:org/name")
    assert "hf:org/name/model.onnx: the repository is gated: agree to its conditions at" in told
    assert f"{hub.url}/org/name, then set HF_TOKEN" in told
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert fetch_source("hf:org/name").path.read_bytes() == MODEL


@pytest.mark.parametrize("large", [True, False])
def test_a_download_that_breaks_off_goes_on_where_it_was(hub: Hub, large: bool):
    files = {"weights.onnx": LARGE}
    put(hub, files, large={"weights.onnx"} if large else set(), faults={"weights.onnx": Fault(break_after=1_200_000)})
    # It comes whole, and then is found to be no model.
    assert "no ONNX file" in refusal("hf:org/name")
    first, *others = hub.ranges("weights.onnx")
    assert first == ""
    starts = [int(wanted.removeprefix("bytes=").removesuffix("-")) for wanted in others]
    assert starts == sorted(set(starts))
    assert len(starts) >= 2
    assert starts[0] > 0


def test_an_interrupted_download_goes_on_with_the_next_call(hub: Hub):
    put(hub, {"model.onnx": LARGE}, large={"model.onnx"})

    def stop(_: str, done: int, total: int) -> None:
        assert total == len(LARGE)
        if done > 1_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_source("hf:org/name", stop)
    assert "no ONNX file" in refusal("hf:org/name")
    first, second = hub.ranges("model.onnx")
    assert first == ""
    assert int(second.removeprefix("bytes=").removesuffix("-")) > 1_000_000


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault(body=PAGE), "it sent an HTML page titled 'Sign in'"),
        (
            Fault(body=b"version https://git-lfs.github.com/spec/v1\nsize 9\n"),
            "a Git LFS pointer for a file of 9 bytes",
        ),
        (Fault(body=b""), "it sent an empty file"),
        (Fault(body=LARGE[:-5] + b"wrong"), "it sent the wrong file: sha256"),
        (Fault(lie=7), "it offers 3,000,007 bytes of a file that it says has 3,000,000"),
        (Fault(lie=-7), "it offers 2,999,993 bytes of a file that it says has 3,000,000"),
        (Fault(break_after=0), "the connection broke off again and again"),
        (Fault(circle=True), "it redirects in a circle, or more than 10 times"),
        (Fault(status=404), "HTTP 404 Not Found"),
        (Fault(status=401), "does not accept the token, or wants one"),
        (Fault(status=403), "forbids to read it"),
        (Fault(status=429, headers={"Retry-After": "3600"}), "was asked too often (HTTP 429): wait some minutes"),
        (Fault(status=500, headers={"Retry-After": "0"}), "has a problem of its own (HTTP 500): try again later"),
    ],
)
def test_a_file_that_cannot_be_had_is_named_with_the_reason(hub: Hub, own_cache: Path, fault: Fault, told: str):
    repository = put(hub, {"model.onnx": LARGE}, large={"model.onnx"}, faults={"model.onnx": fault})
    message = refusal("hf:org/name@main")
    assert message.startswith("hf:org/name/model.onnx@main: ")
    assert told in message
    assert "Signature" not in message
    assert not list(own_cache.rglob("model.onnx"))
    repository.faults.clear()
    assert "no ONNX file" in refusal("hf:org/name")  # it came


def test_a_server_that_is_busy_for_a_moment_is_asked_again(hub: Hub):
    busy = Fault(status=503, headers={"Retry-After": "0"}, times=1)
    put(hub, {"model.onnx": MODEL}, faults={"model.onnx": busy})
    assert fetch_source("hf:org/name").path.read_bytes() == MODEL


def test_a_file_in_git_is_compared_by_its_name_in_git(hub: Hub):
    put(hub, {"model.onnx": MODEL}, faults={"model.onnx": Fault(body=MODEL[:-1] + b"?")})
    assert "it sent the wrong file: git's" in refusal("hf:org/name")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault(body=PAGE), "answers, but not as the hub does: check HF_ENDPOINT"),
        (Fault(body=b"[]"), "answers, but not as the hub does"),
        (Fault(body=b"[" * 100_000), "answers, but not as the hub does"),
        (Fault(body=json.dumps({"id": "org/name", "sha": "../../x", "siblings": []}).encode()), "not as the hub does"),
        (Fault(status=404), "answers HTTP 404"),
        (Fault(status=403), "forbids to read it"),
        (Fault(status=403, headers={"X-Error-Code": "GatedRepo"}), "the repository is gated"),
        (Fault(status=429), "was asked too often (HTTP 429): wait some minutes, or set HF_TOKEN"),
        (Fault(status=500), "has a problem of its own (HTTP 500)"),
        (Fault(circle=True), "cannot be reached"),
        (Fault(break_after=3, body=b"{'a': 2}"), "cannot be reached"),
    ],
)
def test_a_hub_that_does_not_answer_well_is_told(hub: Hub, fault: Fault, told: str):
    put(hub, {"model.onnx": MODEL}, faults={"api": fault})
    message = refusal("hf:org/name")
    assert hub.url in message
    assert told in message


def test_a_revision_that_is_not_there(hub: Hub):
    put(hub, {"model.onnx": MODEL})
    assert "hf:org/name@v9: the repository has no revision 'v9'" in refusal("hf:org/name@v9")
    assert "hf:org/name/onnx/model.onnx@main" in refusal("hf:org/name@main/onnx/model.onnx")


@pytest.mark.parametrize("path", ["../../outside.onnx", "/outside.onnx", "a\\..\\outside.onnx", "c:outside.onnx"])
def test_a_repository_cannot_write_outside_of_its_folder(hub: Hub, own_cache: Path, path: str):
    put(hub, {path: MODEL})
    assert "is no path inside of a repository" in refusal("hf:org/name")
    assert not list(own_cache.parent.rglob("*outside*"))


def test_weights_that_the_repository_has_not(hub: Hub, tmp_path: Path):
    onnx_models.save_with_external_weights(tmp_path / "model.onnx", "weights.bin")
    put(hub, {"model.onnx": (tmp_path / "model.onnx").read_bytes()})
    assert "model.onnx keeps weights in 'weights.bin', which the repository has not" in refusal("hf:org/name")


def test_what_the_clients_own_cache_has_is_not_fetched(hub: Hub):
    import huggingface_hub

    commit = "ab" * 20
    put(hub, {"model.onnx": MODEL}, commit=commit)
    huggingface_hub.hf_hub_download("org/name", "model.onnx", revision=commit)
    hub.asked.clear()
    assert fetch_source(f"hf:org/name@{commit}").path.read_bytes() == MODEL
    assert hub.files_asked() == []


def test_a_licence_is_one_line_of_a_comment(hub: Hub):
    put(
        hub,
        {"model.onnx": MODEL},
        card={"license": "other", "license_name": "mine\n}\nbackend: 'x'", "license_link": "u"},
    )
    assert licence(fetch_source("hf:org/name")) == "Licence: other (mine } backend: 'x', u)"
    put(hub, {"model.onnx": MODEL}, card={"license": ["mit", "apache-2.0"]})
    assert licence(fetch_source("hf:org/name")) == "Licence: mit, apache-2.0"
    put(hub, {"model.onnx": MODEL})
    assert licence(fetch_source("hf:org/name")) == "Licence: the repository states none"


def licence(fetched: FetchedModel) -> str:
    return next(line for line in fetched.comments if line.startswith("Licence"))


def test_a_wrong_file_that_also_breaks_off_is_given_up(hub: Hub):
    wrong = Fault(break_after=1_200_000, body=LARGE[::-1])
    put(hub, {"model.onnx": LARGE}, large={"model.onnx"}, faults={"model.onnx": wrong})
    assert "it sent the wrong file: sha256" in refusal("hf:org/name")


def test_a_file_of_the_cache_that_was_damaged_is_fetched_again(hub: Hub):
    put(hub, {"model.onnx": MODEL}, large={"model.onnx"})
    path = fetch_source("hf:org/name").path
    path.write_bytes(MODEL[:-1] + b"?")
    assert fetch_source("hf:org/name").path.read_bytes() == MODEL


def test_two_at_once_fetch_it_once(hub: Hub):
    put(hub, {"model.onnx": MODEL}, large={"model.onnx"})
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: fetch_source("hf:org/name").path, range(4)))
    assert len(paths) == 1
    assert paths.pop().read_bytes() == MODEL
    assert len(hub.ranges("model.onnx")) == 1


def test_the_weights_of_an_ir_file_come_along(hub: Hub):
    graph = b'<?xml version="1.0"?>\n<net name="n" version="11"></net>\n'
    put(hub, {"openvino_model.xml": graph, "openvino_model.bin": b"weights", "README.md": b"x"})
    path = fetch_source("hf:org/name").path
    assert hub.files_asked() == ["openvino_model.xml", "openvino_model.bin"]
    assert path.read_bytes() == graph
    assert path.with_suffix(".bin").read_bytes() == b"weights"
    put(hub, {"openvino_model.xml": graph}, commit="beef" * 10)
    assert "keeps weights in 'openvino_model.bin', which the repository has not" in refusal("hf:org/name")


def test_what_lies_beside_another_model_of_the_repository_is_not_mixed_in(hub: Hub):
    put(
        hub, {"a/model.onnx": MODEL, "a/preprocessor_config.json": b"{}", "b/model.onnx": MODEL, "b/labels.txt": b"cat"}
    )
    first, second = fetch_source("hf:org/name/a"), fetch_source("hf:org/name/b")
    assert first.beside is not None
    assert second.beside is not None
    assert [path.name for path in first.beside.iterdir()] == ["preprocessor_config.json"]
    assert [path.name for path in second.beside.iterdir()] == ["labels.txt"]


def test_what_lies_beside_and_is_too_large_to_be_read_is_not_fetched(hub: Hub):
    put(hub, {"model.onnx": MODEL, "config.json": b" " * (16 << 20) + b"{}", "labels.txt": b"cat"})
    fetched = fetch_source("hf:org/name")
    assert hub.files_asked() == ["model.onnx", "labels.txt"]
    assert fetched.notes == ("config.json was not fetched: it is too large to be read",)


def test_a_token_that_cannot_be_sent_is_told_and_not_shown(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    put(hub, {"model.onnx": MODEL})
    monkeypatch.setenv("HF_TOKEN", "hf_secr\u00e9t")
    told = refusal("hf:org/name")
    assert "the token that is set has letters that no token has" in told
    assert "secr" not in told
