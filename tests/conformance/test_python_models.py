"""Python models answer as they do under a real Triton, exchange by exchange; see `record.py`."""

import dataclasses
import shutil
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from conformance.recorded.allowed import ALLOWED, NOT_YET
from conformance.recorded.compare import differences
from conformance.recorded.exchanges import MODELS, TOPICS
from conformance.recorded.kinds import Exchange
from conformance.recorded.recording import answers_of, recorded
from conformance.recorded.wire import Json, Server
from conftest import LOOPBACK
from tcli_server import Engine, EngineOptions
from tcli_server.serving import Server as Ours

HERE = Path(__file__).parent
COMPATIBILITY = HERE.parents[1] / "docs" / "compatibility.md"
EXCHANGES = [(topic, exchange) for topic, exchanges in TOPICS.items() for exchange in exchanges]


def not_yet(topic: str, name: str) -> str | None:
    """What is missing here for an exchange."""
    return next((why for pattern, why in NOT_YET.items() if fnmatchcase(f"{topic}/{name}", pattern)), None)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Json]]]:
    """Topic -> exchange -> what our server answers."""
    repository = tmp_path_factory.mktemp("python") / "models"
    shutil.copytree(HERE / "python_models", repository)
    options = EngineOptions(model_control_mode="explicit", load_models=MODELS)
    serving = dataclasses.replace(LOOPBACK, allow_client_shm=True)
    with Ours(Engine(repository, options=options), serving) as running:
        server = Server(*(f"127.0.0.1:{port}" for port in (running.http_port, running.grpc_port, running.metrics_port)))
        try:
            yield {
                topic: answers_of(server, topic, [each.name for each in exchanges if not_yet(topic, each.name)])
                for topic, exchanges in TOPICS.items()
            }
        finally:
            server.close()


@pytest.mark.parametrize(("topic", "exchange"), EXCHANGES, ids=[f"{topic}/{each.name}" for topic, each in EXCHANGES])
def test_answers_as_triton(answers: dict[str, dict[str, Json]], topic: str, exchange: Exchange):
    name = exchange.name
    if why := not_yet(topic, name):
        pytest.skip(why)
    found = list(differences(recorded(topic)[name], answers[topic][name], exchange.says))
    allowed = [each for each in ALLOWED if fnmatchcase(f"{topic}/{name}", each.exchange)]
    unexpected = [str(each) for each in found if not any(one.covers(each) for one in allowed)]
    assert not unexpected, "\n".join(unexpected)
    unused = [one.row for one in allowed if not any(one.covers(each) for each in found)]
    assert not unused, f"these differences are no more: {unused}"


@pytest.mark.parametrize("topic", TOPICS)
def test_what_is_asked_is_recorded(topic: str):
    assert list(recorded(topic)) == [exchange.name for exchange in TOPICS[topic]]


def test_what_errors_say_is_what_triton_says():
    wrong = [
        f"{topic}/{exchange.name}: {error}"
        for topic, exchange in EXCHANGES
        if not any(fnmatchcase(f"{topic}/{exchange.name}", each.exchange) for each in ALLOWED)
        for error in errors_in(recorded(topic)[exchange.name])
        if not all(text.lower() in error.lower() for text in exchange.says)
    ]
    assert not wrong, "\n".join(wrong)


def errors_in(told: Json) -> Iterator[str]:
    if isinstance(told, list):
        for each in told:
            yield from errors_in(each)
    elif isinstance(told, dict):
        yield from (str(value) for key, value in told.items() if key == "error")
        yield from errors_in([value for key, value in told.items() if key != "error"])


@pytest.mark.parametrize("row", sorted({each.row for each in ALLOWED}))
def test_what_differs_is_told(row: str):
    assert f"| {row} |" in COMPATIBILITY.read_text(encoding="utf-8")
