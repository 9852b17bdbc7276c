"""`--rate-limit-resource`: what it may say."""

import pytest

from tcli_server import Engine, EngineOptions
from tcli_server.errors import InvalidArgumentError
from tcli_server.scheduling.limits.amounts import parse_amounts


def test_amounts_by_name_and_device():
    texts = ["R1:10", "R2:5:0", "R2:8:01", "r1:0", "a b:3:CPU", "R:2147483647"]
    assert parse_amounts(texts) == {
        ("R1", ""): 10,
        ("R2", "0"): 5,
        ("R2", "1"): 8,
        ("r1", ""): 0,
        ("a b", "cpu"): 3,
        ("R", ""): 2**31 - 1,
    }
    assert parse_amounts([]) == {}


@pytest.mark.parametrize(
    "text",
    ["", "R", "R:", ":4", "R:x", "R:-1", "R:1.5", "R:1:", "R:1:x", "R:1:-1", "R:1:0:0", "R: 1", "R:²", f"R:{2**31}", "R:1:gpu0"],
)  # fmt: skip
def test_another_form_is_refused(text: str):
    with pytest.raises(InvalidArgumentError, match="expected NAME:COUNT or NAME:COUNT:DEVICE") as caught:
        parse_amounts(["R:4", text])
    assert f"--rate-limit-resource={text}:" in str(caught.value)


def test_a_resource_has_one_amount_on_a_device():
    parse_amounts(["R:1", "R:2:0", "R:3:cpu"])
    with pytest.raises(InvalidArgumentError, match="'R' has an amount for device 0 already, 2"):
        parse_amounts(["R:1", "R:2:0", "R:3:00"])
    with pytest.raises(InvalidArgumentError, match="'R' has an amount already, 1"):
        parse_amounts(["R:1", "R:1"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (EngineOptions(rate_limit_resources=("R:1",)), "--rate-limit-resource needs --rate-limit=execution_count"),
        (EngineOptions(rate_limit="execution_count", rate_limit_resources=("R",)), "expected NAME:COUNT"),
        (EngineOptions(rate_limit="sometimes"), "invalid argument for --rate-limit: 'sometimes'"),
    ],
)
def test_an_engine_takes_no_other(tmp_path, options: EngineOptions, words: str):
    with pytest.raises(InvalidArgumentError, match=words):
        Engine(tmp_path, options=options)
