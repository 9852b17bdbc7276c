"""Holding exchanges with a server, and their answers as files."""

import json
import re
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conformance.recorded.exchanges import MODELS, TOPICS
from conformance.recorded.kinds import Counts
from conformance.recorded.wire import LOAD_PATIENCE, Json, Server

ANSWERS = Path(__file__).parent / "answers"
WIDTH = 110
FOLDERS = re.compile(r"[^\s'\"]*/(?=(?:\w+/)?\d+/model\.py|broken_)")


def load_models(server: Server) -> None:
    """Load all that the exchanges ask; ensembles bring their steps."""

    def load(model: str) -> None:
        answer = server.http.post(f"/v2/repository/models/{model}/load", json={}, timeout=LOAD_PATIENCE)
        if answer.status_code != 200:
            raise RuntimeError(f"{model} does not load: {answer.text}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(load, MODELS))


def answers_of(server: Server, topic: str, without: Collection[str] = ()) -> dict[str, Json]:
    """Exchange -> answers. The exchanges of a topic are held in their order, but for those `without`."""
    exchanges = [exchange for exchange in TOPICS[topic] if exchange.name not in without]
    before = {each.model: each.held(server) for each in exchanges if isinstance(each, Counts)}
    answers = {}
    for exchange in exchanges:
        told = without_folders(exchange.held(server))
        if isinstance(exchange, Counts):
            counted = {key: count - before[exchange.model].get(key, 0) for key, count in told.items()}
            told = {key: count for key, count in counted.items() if count}
        answers[exchange.name] = told
    return answers


def without_folders(told: Json) -> Json:
    """Without the path of the repository, which errors may have."""
    if isinstance(told, str):
        return FOLDERS.sub("", told)
    if isinstance(told, list):
        return [without_folders(each) for each in told]
    if isinstance(told, dict):
        return {key: without_folders(each) for key, each in told.items()}
    return told


def recorded(topic: str) -> dict[str, Json]:
    """What the real Triton answered."""
    answers: dict[str, Json] = json.loads((ANSWERS / f"{topic}.json").read_text(encoding="utf-8"))
    return answers


def written(answers: dict[str, Json]) -> str:
    """As a file, in as few lines as stay readable, so that two can be compared by diff."""
    return _laid_out(answers, 0) + "\n"


def _laid_out(told: Json, depth: int) -> str:
    short = json.dumps(told, ensure_ascii=False)
    if not isinstance(told, dict | list) or not told or (depth and len(short) <= WIDTH):
        return short
    if isinstance(told, dict):
        parts = [f"{json.dumps(key, ensure_ascii=False)}: {_laid_out(each, depth + 1)}" for key, each in told.items()]
        first, last = "{", "}"
    else:
        parts = [_laid_out(each, depth + 1) for each in told]
        first, last = "[", "]"
    inner = "\n" + " " * (depth + 1)
    return first + inner + f",{inner}".join(parts) + "\n" + " " * depth + last
