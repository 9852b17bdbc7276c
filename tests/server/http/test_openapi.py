"""The description of the HTTP endpoints and the endpoints themselves say the same."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate

from tcli_server import Engine
from tcli_server.protocols.http.application import HttpApplication
from tcli_server.protocols.http.openapi import openapi_document
from tcli_server.protocols.http.options import HttpOptions
from tcli_server.protocols.http.routes import Route
from tcli_server.protocols.shared_memory import NO_SHARED_MEMORY

EXAMPLES = {"model_name": "a", "model_version": "1", "repository_name": "b", "region_name": "c"}
PAGE = ("/", "/ui/")
METHODS = {"get", "post", "put", "delete", "patch", "head", "options"}


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Route, ...]]:
    loop = asyncio.new_event_loop()
    application = HttpApplication(Engine(tmp_path_factory.mktemp("empty")), loop, HttpOptions(), NO_SHARED_MEMORY)
    yield application.routes
    application.close()
    loop.close()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi_document()


def described(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """(method, path with examples) -> operation."""
    return {
        (method.upper(), path.format_map(EXAMPLES)): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


def test_all_that_is_described_is_answered_and_the_other_way_round(routes: tuple[Route, ...], document: dict[str, Any]):
    asked = list(described(document))

    def matching(method: str, path: str) -> list[Route]:
        return [one for one in routes if one.method == method.encode() and one.pattern.fullmatch(path)]

    assert [one for one in asked if not matching(*one)] == []
    reached = {id(matching(*one)[0]) for one in asked}
    silent = [one.pattern.pattern for one in routes if id(one) not in reached]
    assert [pattern for pattern in silent if not pattern.startswith(PAGE)] == []


def test_what_it_refers_to_is_there_and_names_are_given_once(document: dict[str, Any]):
    references = set(re.findall(r"'#/components/schemas/(\w+)'", str(document)))
    assert references == set(document["components"]["schemas"])
    operations = [one for operations in document["paths"].values() for one in operations.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    tags = {one["name"] for one in document["tags"]}
    assert {tag for one in operations for tag in one["tags"]} == tags
    for path, ways in document["paths"].items():
        assert set(ways) <= METHODS
        for one in ways.values():
            given = {parameter["name"] for parameter in one.get("parameters", ()) if parameter["in"] == "path"}
            assert given == set(re.findall(r"{(\w+)}", path)), path


def test_it_is_valid(document: dict[str, Any]):
    validate(document)
