"""A running model of sums, and sequences on it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from repositories import write_model
from sequence_models import sums, sums_config
from tcli_server import Engine

Serve = Callable[..., Engine]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serves `sums`, configured as `sums_config` is told."""
    with ExitStack() as stack:

        def start(more: str = "", max_batch_size: int = 4, **rest: object) -> Engine:
            config = sums_config(more, max_batch_size, **rest)
            write_model(tmp_path, "sums", sums(max_batch_size > 0), config)
            return stack.enter_context(Engine(tmp_path))

        yield start
