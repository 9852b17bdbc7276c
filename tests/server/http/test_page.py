"""The web page as a browser gets it, and who may have a server changed through a browser."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

import onnx_models
from repositories import write_model
from tcli_server import Engine, EngineOptions
from tcli_server.protocols.http.cross_origin import comes_from_elsewhere
from tcli_server.serving import ServeOptions, Server

LOOPBACK = ServeOptions(http_address="127.0.0.1", http_port=0, allow_grpc=False, allow_metrics=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """In explicit mode, with one model on disk that is not loaded."""
    repository = tmp_path_factory.mktemp("models")
    write_model(repository, "identity", onnx_models.identity())
    engine = Engine(repository, options=EngineOptions(model_control_mode="explicit"))
    with Server(engine, LOOPBACK) as running:
        yield running


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{server.http_port}", timeout=60) as client:
        yield client


def files_of(page: str) -> set[str]:
    return set(re.findall(r'(?:src|href)="(ui/[^"]+)"', page))


def test_the_page_and_all_its_files_come_from_the_server_under_a_strict_policy(http: httpx.Client):
    page = http.get("/")
    found, waiting = set(), files_of(page.text)
    while waiting:
        name = waiting.pop()
        found.add(name)
        answer = http.get(f"/{name}")
        assert answer.status_code == 200, name
        waiting |= {f"ui/{module}" for module in re.findall(r'from "\./([^"]+)"', answer.text)} - found
    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    for name in ("", *found):
        answer = http.get(f"/{name}")
        suffix = name[name.rfind(".") :] if name else ""
        assert answer.headers["content-type"] == f"{types.get(suffix, 'text/html')}; charset=utf-8"
        policy = answer.headers["content-security-policy"]
        assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "innerHTML" not in answer.text
        assert not re.search(r'\son\w+="|\sstyle="|https?://(?!www\.w3\.org/)', answer.text), name
    assert len(found) > 3


def test_a_browser_that_has_a_file_does_not_get_it_again(http: httpx.Client):
    first = http.get("/ui/app.js")
    again = http.get("/ui/app.js", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert http.get("/ui/app.js", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/ui/", "/ui/__init__.py", "/ui/%2e%2e/page/index.html", "/index.html", "/ui/app.js/"]
)
def test_nothing_else_is_a_file(http: httpx.Client, path: str):
    assert http.get(path).status_code == 404


def test_the_page_knows_whether_models_may_be_loaded_and_can_be_left_out(http: httpx.Client, tmp_path: Path):
    assert 'data-model-control="true"' in http.get("/").text
    with Server(Engine(tmp_path), LOOPBACK) as other:
        page = httpx.get(f"http://127.0.0.1:{other.http_port}/")
        assert 'data-model-control="false"' in page.text
        assert page.headers["etag"] != http.get("/").headers["etag"]
    with Server(Engine(tmp_path), replace(LOOPBACK, allow_ui=False)) as without:
        answers = [httpx.get(f"http://127.0.0.1:{without.http_port}{path}") for path in ("/", "/ui/app.js")]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(404, {"error": "Not Found"})] * 2


CHANGES = [
    "/v2/repository/models/identity/load",
    "/v2/repository/models/identity/unload",
    "/v2/logging",
    "/v2/systemsharedmemory/region/a/register",
]


@pytest.mark.parametrize("path", CHANGES)
def test_a_page_of_another_origin_changes_nothing(http: httpx.Client, path: str):
    settings = http.get("/v2/logging").json()
    for headers in ({"Origin": "http://other.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}):
        answer = http.post(path, content='{"log_verbose_level": 7}', headers={"Content-Type": "text/plain", **headers})
        assert (answer.status_code, "another origin" in answer.json()["error"]) == (403, True)
    assert http.get("/v2/logging").json() == settings
    assert http.post("/v2/repository/index", json={"ready": True}).json() == []


def test_the_servers_own_page_and_programs_change_it(http: httpx.Client):
    own = {"Origin": str(http.base_url), "Sec-Fetch-Site": "same-origin"}
    for headers in (own, {"Origin": own["Origin"]}, {}):
        for what in ("load", "unload"):
            assert http.post(f"/v2/repository/models/identity/{what}", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "elsewhere"),
    [
        ({}, False),
        ({"host": "a:8000"}, False),
        ({"host": "a:8000", "origin": "http://a:8000"}, False),
        ({"host": "A", "origin": "https://a"}, False),
        ({"host": "a:8000", "origin": "http://a:8001"}, True),
        ({"host": "a", "origin": "http://a.other"}, True),
        ({"host": "a", "origin": "null"}, True),
        ({"host": "a", "origin": "http://[a"}, True),
        ({"origin": "http://a"}, True),
        ({"host": "inside", "origin": "https://a", "sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"host": "a", "origin": "http://a", "sec-fetch-site": "cross-site"}, True),
    ],
)
def test_where_a_request_comes_from(headers: dict[str, str], elsewhere: bool):
    sent = {name.encode(): value.encode() for name, value in headers.items()}
    assert comes_from_elsewhere(sent) is elsewhere
