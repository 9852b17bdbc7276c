"""The web page in a browser: what it shows, what it asks for, and that what a model is called is only ever text."""

import contextlib
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

import onnx_models
from chromium import BROWSER, Chromium, Page, chromium
from repositories import add_sub_config, write_model
from tcli_client.preprocess import PictureFormat, Scaling, preprocess
from tcli_server import Engine, EngineOptions
from tcli_server.protocols.security import SecurityOptions
from tcli_server.serving import ServeOptions, Server

HOSTILE = "<img src=x onerror=alert(1)>"
LOADED = ("add_sub", "grey", "identity")

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome on PATH")

GREY = """
max_batch_size: 8
input [ { name: "INPUT0" data_type: TYPE_FP32 format: FORMAT_NHWC dims: [ 2, 2, 1 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 2, 2, 1 ] } ]
parameters { key: "tcli_image_scaling" value { string_value: "NONE" } }
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    repository = tmp_path_factory.mktemp("models")
    labels = f"{HOSTILE}\n" * 16
    write_model(repository, "add_sub", onnx_models.add_sub(), add_sub_config(), **{"labels.txt": labels})
    write_model(repository, "grey", onnx_models.identity(shape=("N", 2, 2, 1)), GREY)
    write_model(repository, "identity", onnx_models.identity())
    write_model(repository, "later", onnx_models.identity())
    engine = Engine(repository, options=EngineOptions(model_control_mode="explicit", load_models=LOADED))
    options = ServeOptions(http_address="127.0.0.1", http_port=0, allow_grpc=False, allow_metrics=False)
    with Server(engine, options) as one:
        yield one


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with chromium(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture
def page(server: Server, browser: Chromium) -> Iterator[Page]:
    one = open_page(server, browser)
    yield one
    one.close()


def open_page(server: Server, browser: Chromium, width: int = 1200) -> Page:
    page = browser.open(f"http://127.0.0.1:{server.http_port}/", width)
    page.until("document.querySelector('#send') && !document.querySelector('#send').disabled")
    return page


def choose(page: Page, name: str) -> None:
    page.run(f"[...document.querySelectorAll('.name')].find(one => one.textContent === {json.dumps(name)}).click()")
    page.until(f"document.querySelector('#model-title').textContent === {json.dumps(name)}")
    page.until("!document.querySelector('#send').disabled")


def text(page: Page, selector: str) -> str:
    return str(page.run(f"document.querySelector({json.dumps(selector)}).textContent"))


def test_it_shows_the_models_and_asks_nobody_else(server: Server, page: Page):
    page.until("document.querySelector('#health').textContent === 'ready'")
    cells = "[...row.cells].map(cell => cell.textContent)"
    rows = page.run(f"[...document.querySelectorAll('#model-rows tr')].map(row => {cells})")
    assert rows == [
        ["add_sub", "1", "ready", "Unload"],
        ["grey", "1", "ready", "Unload"],
        ["identity", "1", "ready", "Unload"],
        ["later", "–", "not loaded", "Load"],
    ]
    asked = {urlsplit(one["request"]["url"])[:2] for one in page.told("Network.requestWillBeSent")}
    assert asked == {("http", f"127.0.0.1:{server.http_port}")}
    loud = [one for one in page.told("Log.entryAdded") if one["entry"]["level"] in ("error", "warning")]
    assert loud + page.told("Runtime.exceptionThrown", "Runtime.consoleAPICalled") == []
    unnamed = page.run(
        "[...document.querySelectorAll('button, input, textarea')].filter(one => !one.textContent.trim() && !one.labels?.length"
        " && !one.ariaLabel).length"
    )
    assert unnamed == 0


def test_json_is_asked_by_keyboard_and_labels_are_text(page: Page):
    request = json.loads(page.run("document.querySelector('#request').value"))
    assert [one["shape"] for one in request["inputs"]] == [[1, 16], [1, 16]]
    request["inputs"][0]["data"][3] = 2.5
    request["outputs"] = [{"name": "OUTPUT0", "parameters": {"classification": 1}}]
    page.run(f"document.querySelector('#request').value = {json.dumps(json.dumps(request))}")
    page.run("document.querySelector('#request').focus()")
    page.press("Tab")
    assert page.run("document.activeElement.id") == "send"
    page.press("Enter", "\r")
    page.until("document.querySelector('#outcome').textContent.startsWith('Answered')")
    cells = page.run("[...document.querySelectorAll('#classes tbody td')].map(one => one.textContent)")
    assert cells == [HOSTILE, "3", "2.5"]
    assert page.run("document.querySelectorAll('main img').length") == 0


def programs(page: Page) -> dict[str, str]:
    """By their titles."""
    one = "[one.querySelector('summary').textContent, one.querySelector('pre').textContent]"
    return dict(page.run(f"[...document.querySelectorAll('.program')].map(one => {one})"))


def printed(program: str) -> str:
    """What a Python program prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(program, {})
    return out.getvalue()


def test_programs_ask_the_same(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page.run("document.querySelector('#send').click()")
    shown = programs(page)
    assert "'OUTPUT1'" in printed(shown["Python, httpx"])
    assert "OUTPUT1 [[0. " in printed(shown["Python, tritonclient"])
    if shutil.which("curl"):
        ran = subprocess.run(shown["curl"], shell=True, capture_output=True, timeout=60, check=True)
        assert json.loads(ran.stdout)["model_name"] == "add_sub"
    Image.fromarray(np.array([[0, 50], [100, 255]], np.uint8)).save(tmp_path / "it's.png")
    choose(page, "grey")
    page.drop("#drop", tmp_path / "it's.png")
    page.until("document.querySelector('#outcome').textContent.startsWith('Answered')")
    monkeypatch.chdir(tmp_path)
    shown = programs(page)
    assert "'data': [0.0, 50.0, 100.0, 255.0]" in printed(shown["Python, httpx"])
    assert "[100.]" in printed(shown["Python, tritonclient"])


def test_an_answer_is_shown_as_it_is_and_at_once(page: Page):
    """Texts with brackets and blanks, of which none is lost and for which no pattern is looked at for long, and long numbers."""
    blanks = "[" + " " * 15_000
    answer = {
        "outputs": [
            {"name": "x", "shape": [2, 1], "data": ["[ 1,\n 2 ]", blanks]},
            {"name": "n", "data": [[2**63 - 1], []]},
            {"name": "m", "data": ["\0NaN"]},
        ]
    }
    page.run(f"import('/ui/answer.js').then(one => one.showAnswer({json.dumps(json.dumps(answer))}))")
    shown = text(page, "#body")
    assert json.loads(shown) == answer
    assert '"shape": [2, 1],\n' in shown


def test_numbers_that_json_has_not_are_shown_like_others(page: Page):
    answer = '{"outputs": [{"name": "NaN", "data": [NaN, -Infinity, 0.5, "a \\\\\\"NaN"]}]}'
    page.run(f"import('/ui/answer.js').then(one => one.showAnswer({json.dumps(answer)}))")
    assert '"name": "NaN",\n   "data": [NaN, -Infinity, 0.5, "a \\\\\\"NaN"]' in text(page, "#body")


def test_a_long_request_is_sent_and_no_program_is_written_for_it(page: Page):
    choose(page, "identity")
    page.run(
        "(() => { const box = document.querySelector('#request'); const asked = JSON.parse(box.value);"
        " asked.id = 'x'.repeat(1_000_000); box.value = JSON.stringify(asked); })()"
    )
    page.run("document.querySelector('#send').click()")
    page.until("document.querySelector('#outcome').textContent.startsWith('Answered')")
    assert "too long" in text(page, "#programs")


def test_a_refusal_is_told_in_the_servers_words(page: Page):
    choose(page, "identity")
    wrong = {"inputs": [{"name": HOSTILE, "shape": [1], "datatype": "FP32", "data": [1]}]}
    page.run(f"document.querySelector('#request').value = {json.dumps(json.dumps(wrong))}")
    page.run("document.querySelector('#send').click()")
    page.until("document.querySelector('#outcome').textContent.startsWith('Refused')")
    told = text(page, "#model-problem")
    assert told.startswith("400 ")
    assert HOSTILE in told


def test_a_picture_that_is_dropped_is_what_the_model_gets(page: Page, tmp_path: Path):
    picture = np.array([[0, 50, 100, 150], [10, 60, 110, 160], [20, 70, 120, 170], [30, 80, 130, 255]], np.uint8)
    Image.fromarray(picture).save(tmp_path / "small.png")
    choose(page, "grey")
    page.drop("#drop", tmp_path / "small.png")
    page.until("document.querySelector('#outcome').textContent.startsWith('Answered')")
    form = PictureFormat(2, 2, 1, "NHWC", "FP32")
    expected = preprocess(tmp_path / "small.png", form, Scaling.NONE).reshape(-1).tolist()
    assert json.loads(text(page, "#body"))["outputs"][0]["data"] == expected


def test_pixels_are_those_of_tcli_infer(page: Page, tmp_path: Path):
    """By the page's own module: all values of a larger picture, in another layout."""
    generator = np.random.default_rng(7)
    Image.fromarray(generator.integers(0, 256, (37, 53, 3), np.uint8)).save(tmp_path / "noise.png")
    data = list((tmp_path / "noise.png").read_bytes())
    metadata = {"name": "m", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3, 16, 24]}]}
    config = {"max_batch_size": 8, "input": [{"name": "x", "format": "FORMAT_NCHW"}]}
    values = page.run(
        "Promise.all([import('/ui/picture.js'), import('/ui/picture_form.js')]).then(async ([picture, form]) => {"
        f"const file = new File([new Uint8Array({data})], 'noise.png', {{type: 'image/png'}});"
        f"const input = await picture.pictureInput(file, form.pictureForm({json.dumps(metadata)}, {json.dumps(config)}));"
        "return [...new Float32Array(input.bytes.buffer)]; })"
    )
    form = PictureFormat(16, 24, 3, "NCHW", "FP32")
    expected = preprocess(tmp_path / "noise.png", form, Scaling.INCEPTION).reshape(-1)
    # Pillow's filter computes with integers, so that a value may be rounded the other way.
    assert np.abs(np.array(values, np.float32) - expected).max() <= 1.01 / 127.5
    assert np.mean(np.array(values, np.float32) != expected) < 0.01


def test_models_are_loaded_and_unloaded_by_keyboard(page: Page):
    def press(name: str) -> None:
        page.run(f"document.querySelector('[aria-label=\"{name} later\"]').focus()")
        page.press("Enter", "\r")

    def load() -> None:
        press("Load")
        page.until("document.querySelector('[aria-label=\"Unload later\"]')?.disabled === false")

    def unload() -> None:
        press("Unload")
        page.until("document.querySelector('[aria-label=\"Load later\"]')?.disabled === false")

    load()
    choose(page, "later")
    example = page.run("document.querySelector('#request').value")
    page.run("document.querySelector('#request').value = 'what I wrote'")
    unload()
    page.until("document.querySelector('#send').disabled")
    load()
    page.until("!document.querySelector('#send').disabled")
    assert page.run("document.querySelector('#request').value") == "what I wrote"
    page.run(f"document.querySelector('#request').value = {json.dumps(example)}")
    choose(page, "later")
    assert page.run("document.querySelector('#request').value") == example
    choose(page, "identity")
    assert "INPUT0" in page.run("document.querySelector('#request').value")
    unload()


def test_a_long_reason_leaves_names_and_buttons_their_room(page: Page):
    page.until("document.querySelectorAll('#model-rows tr').length === 4")
    sizes = (
        "[document.querySelector('#model-rows td').offsetWidth > 200,"
        " ...[...document.querySelectorAll('#model-rows .control button')].map(one => one.offsetHeight < 40)]"
    )
    page.run("document.querySelector('#model-rows .state').append('because of this '.repeat(100))")
    assert page.run(sizes) == [True] * 5


def test_where_a_token_is_needed_it_is_asked_for(browser: Chromium, tmp_path: Path):
    (tmp_path / "tokens").write_text("me all token-of-an-administrator")
    (tmp_path / "tokens").chmod(0o600)
    (tmp_path / "models").mkdir()
    security = SecurityOptions(auth_token_file=str(tmp_path / "tokens"))
    options = ServeOptions(
        http_address="127.0.0.1", http_port=0, allow_grpc=False, allow_metrics=False, security=security
    )
    with Server(Engine(tmp_path / "models"), options) as server:
        page = browser.open(f"http://127.0.0.1:{server.http_port}/")
        page.until("document.querySelector('#token')?.checkVisibility()")
        assert text(page, "#health").startswith("401 ")
        page.run(
            "(() => { const field = document.querySelector('#token'); field.focus(); field.value = 'token-of-an-administrator'; })()"
        )
        page.press("Enter", "\r")
        page.until("document.querySelector('#health').textContent === 'ready'")
        page.close()


def test_it_fits_a_telephone(server: Server, browser: Chromium):
    page = open_page(server, browser, 360)
    page.run("document.querySelector('#send').click()")
    page.until("document.querySelector('#outcome').textContent.startsWith('Answered')")
    page.run("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.run("[document.documentElement.scrollWidth, document.documentElement.clientWidth]") == [360, 360]
    page.close()
