"""Seeded nonsense as files of `tcli analyze --config`: each is read, or refused with the reason, in no time."""

import json
import random
import time
from pathlib import Path

import pytest

from tcli_analyzer.space.file import YamlFileError, read_analysis_file
from tcli_analyzer.space.file.model_analyzer_fields import UNUSED, USED
from tcli_analyzer.space.file.own import OWN_KEYS
from tcli_analyzer.space.values import READERS
from tcli_server.repository import Problem

SEEDS = [
    "models: [a, {name: b, weight: 2}]\nspace: {threads: [auto, 1], preferred_batch_sizes: [[4, 8], []]}\nshape: {x: [1, 2]}\n",
    "model_repository: ./m\nobjective: latency\nmax_time: 5m\nas_is: true\nspace:\n  queue_delays: 0,1ms\n  batch_sizes: {start: 1, stop: 4}\n",
    "profile_models:\n  a:\n    parameters: {concurrency: {start: 1, stop: 9, step: 2}}\n    model_config_parameters:\n"
    "      instance_group: [[{kind: KIND_CPU, count: [1, 2]}]]\n      optimization: {execution_accelerators: "
    "{gpu_execution_accelerator: [{name: tensorrt, parameters: {precision_mode: FP16}}]}}\nobjectives: [perf_throughput]\n"
    "constraints: {perf_latency_p99: {max: 5}}\nperf_analyzer_flags: {shape: a:1}\nrun_config_search_max_concurrency: 8\n",
]
PIECES = ["[", "]", "{", "}", ": ", "- ", "\n", "\t", "  ", "'", '"', "*a", "&a ", "!!int ", "#", "|", ">", "?", "%", "---\n", "~", "0", "-1", "é", "\x00", "\u2028", "null", "<<: "]  # fmt: skip


def mutant(number: int) -> str:
    chance = random.Random(number)
    text = chance.choice(SEEDS)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(text) + 1)
        match chance.randrange(4):
            case 0:
                text = text[:place] + chance.choice(PIECES) + text[place:]
            case 1:
                text = text[:place] + text[place + chance.randint(1, 12) :]
            case 2:
                lines = text.split("\n")
                chance.shuffle(lines)
                text = "\n".join(lines)
            case 3:
                words = text.split(" ")
                words[chance.randrange(len(words))] = chance.choice(PIECES)
                text = " ".join(words)
    return text


def problems_of(file: Path) -> list[Problem]:
    try:
        read_analysis_file(file)
    except YamlFileError as error:
        return error.problems
    return []


@pytest.mark.parametrize("first", range(0, 1000, 100))
def test_nonsense_is_read_or_refused_with_a_reason(tmp_path, first: int):
    file = tmp_path / "analysis.yaml"
    start = time.perf_counter()
    refused = 0
    for number in range(first, first + 100):
        file.write_bytes(mutant(number).encode())
        problems = problems_of(file)
        refused += bool(problems)
        for problem in problems:
            assert problem.found, number
            assert problem.expected, number
            assert problem.fix, number
            assert "\n" not in str(problem), number
    assert 20 < refused < 100
    assert time.perf_counter() - start < 60


VALUES = [
    1,
    "a",
    None,
    [],
    {},
    [1, 2],
    "1,2",
    {"start": 1, "stop": 3},
    [[1]],
    True,
    [{"name": "a"}],
    "p99",
    "grpc",
    "remote",
    -1,
    1.5,
]
VALUES += [{"perf_latency_p99": {"max": 3}}, ["perf_throughput"], {"count": 1, "kind": "KIND_CPU"}, "x" * 500]
BELOW = "parameters model_config_parameters perf_analyzer_flags weighting cpu_only objectives constraints space name weight shape input "
BELOW += "instance_group dynamic_batching max_batch_size optimization execution_accelerators gpu_execution_accelerator graph level count "
BELOW += "kind backend preferred_batch_size max_queue_delay_microseconds string_value"
INNER = [*BELOW.split(), *READERS]


def value(chance: random.Random, depth: int = 0) -> object:
    if depth < 5 and chance.random() < 0.55:
        if chance.random() < 0.3:
            return [value(chance, depth + 1) for _ in range(chance.randint(0, 3))]
        return {chance.choice(INNER): value(chance, depth + 1) for _ in range(chance.randint(0, 4))}
    return chance.choice(VALUES)


@pytest.mark.parametrize("keys", [[*OWN_KEYS, *READERS], [*USED, *UNUSED]], ids=["own", "model_analyzer"])
def test_known_keys_with_any_values_are_read_or_refused(tmp_path, keys: list[str]):
    file = tmp_path / "analysis.yaml"
    refused = 0
    for number in range(400):
        chance = random.Random(number)
        document = {key: value(chance) for key in chance.sample(sorted(keys), chance.randint(1, 6))}
        if number % 3 == 0 and "profile_models" in keys:
            document["profile_models"] = {"a": {key: value(chance) for key in chance.sample(INNER, 4)}}
        file.write_text(json.dumps(document))
        refused += bool(problems_of(file))
    assert 0 < refused < 400


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"key{number}: 1\n" for number in range(9000)),
        "models:\n" + "- a\n" * 19000,
        "space: {preferred_batch_sizes: [" + "[1,2]," * 6000 + "]}",
        "shape: {" + ", ".join(f"x{number}: [1]" for number in range(4000)) + "}",
        "slo: " + "x" * 200_000,
        "x" * 200_000 + ": 1",
        '"' + "\\" * 100_000 + '": 1',
        "a: |\n" + " x\n" * 60_000,
    ],
    ids=str.split("keys models sets shapes text key escapes block"),
)
def test_the_largest_files_take_seconds(tmp_path, text: str):
    file = tmp_path / "analysis.yaml"
    file.write_text(text)
    start = time.perf_counter()
    problems = problems_of(file)
    assert time.perf_counter() - start < 60
    assert len(problems) <= 50
    assert all(len(str(problem)) < 2000 for problem in problems)
