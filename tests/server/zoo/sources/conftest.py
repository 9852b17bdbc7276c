"""A hub for the tests of this folder, which the hub's own client finds by its usual variables."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_server import Hub, serve_hub


@pytest.fixture(scope="session")
def served_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """The client reads its variables when it is imported, so there is one hub, and it is there before."""
    with serve_hub() as hub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.url)
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf_home")))
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
            patch.delenv(name, raising=False)
        constants = pytest.importorskip("huggingface_hub.constants", exc_type=ImportError)
        assert hub.url == constants.ENDPOINT, "something imported the client before"
        yield hub


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hub(served_hub: Hub, own_cache: Path) -> Hub:  # noqa: ARG001
    """The hub, without repositories, and an empty cache of tcli's own."""
    served_hub.repositories.clear()
    served_hub.asked.clear()
    return served_hub
