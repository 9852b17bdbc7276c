"""Ensembles with decoupled steps: what follows runs once for each response, and the answers come in order."""

from pathlib import Path

import numpy as np
import pytest

from decoupled_steps import CONFIG, REPEAT, ask, heard, integers, numbers, write_decoupled, write_steps
from ensemble_models import ensemble, write_ensemble
from python_models import write_python_model
from scheduled import Answers
from tcli_server import Engine, EngineOptions, InferenceRequest
from tcli_server.errors import InternalError, InvalidArgumentError, UnsupportedError
from tcli_server.models.check import check_repository
from waiting import until


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The steps, and all ensembles of them."""
    write_steps(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["simple", "sequential", "fan", "squares", "nested"])
def test_none_one_and_many_responses(repository: Path, name: str):
    write_decoupled(repository, *{"sequential", name})
    with Engine(repository) as engine:
        for values in ([], [5], [7, 2, 9, 0, 1, 3]):
            expected = [value for value in values for _ in range(value if name in ("squares", "nested") else 1)]
            if name == "fan":
                expected = [2 * value for value in expected]
            asked = [ask(engine, name, values, id=str(number))[1] for number in range(3)]
            for number, answers in enumerate(asked):
                responses = heard(answers, max(1, len(expected)))
                assert numbers(responses) == expected
                assert {response.id for response in responses} <= {str(number)}
                if name in ("simple", "sequential"):
                    assert numbers(responses, "IDX") == list(range(len(values)))
                if name == "squares":
                    assert numbers(responses, "IDX") == [index for value in values for index in range(value)]
        until(lambda: engine.model(name).idle)
        statistics = engine.statistics(name).model_stats[0]
        assert (statistics.inference_stats.success.count, statistics.execution_count) == (9, 9)
        assert engine.model("repeat").statistics.success_count == 9
        if name == "squares":
            assert engine.model("square").statistics.success_count == 3 * (1 + 6)
        assert engine._pending.held == 0


def test_the_final_flag_comes_with_the_last_response_if_that_is_known_then(repository: Path):
    write_python_model(repository, "known", REPEAT.replace("sender.send(response)", "sender.send(response, int(value == 0))").replace(
        "            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)\n", ""), CONFIG.format(dims=-1))  # fmt: skip
    steps = [("known", {"IN": "IN"}, {"OUT": "x"}), ("identity", {"INPUT0": "x"}, {"OUTPUT0": "OUT"})]
    write_ensemble(repository, "ensemble", ensemble([integers("IN", "-1")], [integers("OUT")], steps, 0))
    with Engine(repository) as engine:
        _, answers = ask(engine, "ensemble", [2, 1, 0])
        until(lambda: engine.model("ensemble").idle)
        assert [response.final for response in answers.responses] == [False, False, True]
        assert numbers(answers.responses) == [2, 1, 0]


def test_many_clients_at_a_time_get_their_own(repository: Path):
    write_decoupled(repository, "squares", "sequential", "nested")
    dice = np.random.default_rng(6)
    with Engine(repository) as engine:
        asked = []
        for _ in range(25):
            values = dice.integers(0, 12, dice.integers(0, 8)).tolist()
            asked += [(values, ask(engine, name, values)[1]) for name in ("squares", "nested")]
        for values, answers in asked:
            expected = [value for value in values for _ in range(value)]
            assert numbers(heard(answers, max(1, len(expected)))) == expected
        until(lambda: all(model.idle for model in engine.models()))


def test_what_is_there_once_is_used_for_each_response(repository: Path):
    """Inputs of the ensemble, and outputs of steps that are not decoupled, however late they come."""
    slow = """
    import time


    class TritonPythonModel:
        def execute(self, requests):
            time.sleep(0.05)  # the responses of the other step are there meanwhile
            given = [pb_utils.get_input_tensor_by_name(request, "IN").as_numpy() for request in requests]
            return [pb_utils.InferenceResponse([pb_utils.Tensor("OUT", array[:1] * 100)]) for array in given]
    """
    config = CONFIG.format(dims=-1).replace("decoupled: true", "decoupled: false")
    write_python_model(repository, "slow", slow, config)
    steps = [
        ("add", {"A": "x", "B": "late"}, {"SUM": "y"}),
        ("add", {"A": "y", "B": "B"}, {"SUM": "OUT"}),
        ("slow", {"IN": "IN"}, {"OUT": "late"}),
        ("repeat", {"IN": "IN"}, {"OUT": "x"}),
        ("identity", {"INPUT0": "late"}, {"OUTPUT0": "LATE"}),
    ]
    outputs = [integers("OUT"), integers("LATE")]
    write_ensemble(repository, "mixed", ensemble([integers("IN", "-1"), integers("B")], outputs, steps, 0))
    with Engine(repository) as engine:
        for wanted in ((), ("OUT",), ("LATE",)):
            answers = Answers()
            inputs = {"IN": np.array([3, 1, 2], np.int32), "B": np.array([1000], np.int32)}
            engine.submit(InferenceRequest("mixed", inputs, outputs=wanted, takes_many=True, reply=answers))
            responses = heard(answers, 1 if wanted == ("LATE",) else 3)
            if wanted != ("LATE",):
                assert numbers(responses) == [1303, 1301, 1302]
            if wanted != ("OUT",):
                assert set(numbers(responses, "LATE")) == {300}
            assert len(responses) == (1 if wanted == ("LATE",) else 3)
        until(lambda: engine.model("mixed").idle)


def test_it_is_decoupled_because_a_step_is_whatever_it_says_itself(repository: Path):
    write_decoupled(repository, "simple", "sequential", "nested")
    steps = [("identity", {"INPUT0": "IN"}, {"OUTPUT0": "OUT"})]
    text = ensemble([integers("IN", "-1")], [integers("OUT", "-1")], steps, 0)
    write_ensemble(repository, "plain", text + "model_transaction_policy { decoupled: true }")
    (repository / "simple" / "config.pbtxt").open("a").write("model_transaction_policy { decoupled: false }")
    with Engine(repository) as engine:
        for name in ("simple", "sequential", "nested", "plain"):
            assert engine.model_config(name).model_transaction_policy.decoupled is (name != "plain")
        given = {"IN": np.array([1], np.int32)}
        assert engine.infer("plain", given).outputs["OUT"].tolist() == [1]
        with pytest.raises(UnsupportedError, match="decoupled transaction policy: 'nested'"):
            engine.infer("nested", given)
    assert check_repository(repository) == []


@pytest.mark.parametrize(
    ("steps", "outputs", "words"),
    [
        (
            [
                ("repeat", {"IN": "IN"}, {"OUT": "x"}),
                ("repeat", {"IN": "IN"}, {"OUT": "y"}),
                ("add", {"A": "x", "B": "y"}, {"SUM": "OUT"}),
            ],
            ["OUT"],
            "step of model 'add' receives inputs originated from different decoupled models",
        ),
        (
            [("repeat", {"IN": "IN"}, {"OUT": "OUT"}), ("simple", {"IN": "IN"}, {"OUT": "OTHER"})],
            ["OUT", "OTHER"],
            "the outputs 'OUT', 'OTHER' originate from different decoupled models",
        ),
    ],
)
def test_responses_of_two_models_that_have_nothing_to_do_with_each_other_do_not_meet(
    repository: Path, steps: list, outputs: list[str], words: str
):
    write_decoupled(repository, "simple")
    text = ensemble([integers("IN", "-1")], [integers(name) for name in outputs], steps, 0)
    write_ensemble(repository, "two", text)
    with Engine(repository) as engine:
        reasons = {row.name: row.reason for row in engine.repository_index().models}
        assert words in reasons["two"]
        assert not engine.model_ready("two")
    (problem,) = check_repository(repository)
    assert words in problem.found


def test_what_a_decoupled_step_makes_of_another_ones_responses_meets_them(repository: Path):
    steps = [
        ("repeat", {"IN": "IN"}, {"OUT": "x"}),
        ("square", {"IN": "x"}, {"IDX": "y"}),
        ("add", {"A": "x", "B": "y"}, {"SUM": "OUT"}),
    ]
    write_ensemble(repository, "chain", ensemble([integers("IN", "-1")], [integers("OUT")], steps, 0))
    with Engine(repository) as engine:
        _, answers = ask(engine, "chain", [3, 0, 2])
        assert numbers(heard(answers, 5)) == [3, 4, 5, 2, 3]


def test_no_response_of_it_is_cached(repository: Path):
    write_decoupled(repository, "simple")
    (repository / "simple" / "config.pbtxt").open("a").write("response_cache { enable: true }")
    with Engine(repository, options=EngineOptions(response_cache_byte_size=1 << 20)) as engine:
        reasons = {row.name: row.reason for row in engine.repository_index().models}
        assert "response cache, which does not go with decoupled models: 'repeat'" in reasons["simple"]
    write_python_model(repository, "cached", REPEAT, CONFIG.format(dims=-1) + "response_cache { enable: true }")
    assert "decoupled models" in check_repository(repository, "cached")[0].expected


@pytest.mark.parametrize("name", ["simple", "sequential", "nested", "fan"])
def test_what_was_sent_before_an_error_stays_sent(repository: Path, name: str):
    write_decoupled(repository, *{"sequential", name})
    with Engine(repository) as engine:
        _, answers = ask(engine, name, [2, 1, -1, 5])
        until(lambda: bool(answers.responses) and answers.responses[-1].final)
        failed = answers.responses[-1]
        assert isinstance(failed.error, InternalError)
        assert str(failed.error).startswith(f"in ensemble '{name}', ")
        assert "no -1" in str(failed.error)
        sent = {"nested": [2, 2, 1], "fan": [4, 2]}.get(name, [2, 1])
        assert numbers(answers.responses[:-1]) == sent[: len(answers.responses) - 1]
        until(lambda: all(model.idle for model in engine.models()))
        statistics = engine.model(name).statistics
        assert (statistics.success_count, statistics.fail_count) == (0, 1)
        assert numbers(heard(ask(engine, name, [1])[1], 1)) == [2 if name == "fan" else 1]


def test_a_step_says_which_sequence_goes_on_with_its_response(repository: Path):
    code = """
    class TritonPythonModel:
        def execute(self, requests):
            for request in requests:
                sender = request.get_response_sender()
                for value in pb_utils.get_input_tensor_by_name(request, "IN").as_numpy():
                    outputs = [pb_utils.Tensor("OUT", np.array([value], np.int32))]
                    if value == 99:
                        parameters = {"sequence_id": True}
                    else:
                        parameters = {"sequence_id": 40 + int(value), "sequence_start": True}
                    sender.send(pb_utils.InferenceResponse(outputs, parameters=parameters))
                sender.send(flags=1)
    """
    tell = """
    class TritonPythonModel:
        def execute(self, requests):
            return [
                pb_utils.InferenceResponse(
                    [pb_utils.Tensor("OUT", np.array([request.correlation_id() * 10 + request.flags()], np.int32))]
                )
                for request in requests
            ]
    """
    write_python_model(repository, "chooser", code, CONFIG.format(dims=-1))
    plain = CONFIG.format(dims=1).replace("decoupled: true", "decoupled: false")
    write_python_model(repository, "tell", tell, plain)
    steps = [
        ("chooser", {"IN": "IN"}, {"OUT": "x"}),
        ("tell", {"IN": "x"}, {"OUT": "y"}),
        ("tell", {"IN": "y"}, {"OUT": "OUT"}),
    ]
    write_ensemble(repository, "chosen", ensemble([integers("IN", "-1")], [integers("OUT")], steps, 0))
    with Engine(repository) as engine:
        responses = heard(ask(engine, "chosen", [1, 2], sequence_id=9, sequence_end=True)[1], 2)
        assert numbers(responses) == [411, 421]
        assert [response.parameters for response in responses] == [
            {"sequence_id": number, "sequence_start": True, "sequence_end": False} for number in (41, 42)
        ]
        (failed,) = ask(engine, "chosen", [99])[1].wait(1)
        assert isinstance(failed.error, InvalidArgumentError)
        assert "expected parameter 'sequence_id' to be" in str(failed.error)
