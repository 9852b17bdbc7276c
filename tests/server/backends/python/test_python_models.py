"""Models written for Triton's Python backend, run by the engine."""

import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from python_models import IDENTITY, REPEAT, REPEAT_CONFIG, write_python_model
from tcli_server.engine import Engine
from tcli_server.errors import InternalError, UnsupportedError
from tcli_server.observability.log import LogOptions, configure_log
from tcli_server.request import InferenceRequest, InferenceResponse
from waiting import until

SIXTEEN = np.arange(16, dtype=np.float32)


def test_a_model_gets_requests_and_gives_responses(tmp_path: Path):
    write_python_model(tmp_path, "identity", IDENTITY)
    with Engine(tmp_path) as engine:
        for array in (SIXTEEN, SIXTEEN[:0], np.zeros(3_000_000, np.float32)):
            response = engine.infer("identity", {"INPUT0": array}, request_id="7")
            assert response.id == "7"
            np.testing.assert_array_equal(response.outputs["OUTPUT0"], array)
        statistics = engine.statistics("identity").model_stats[0]
    assert statistics.inference_stats.success.count == statistics.execution_count == 3


def test_what_is_answered_does_not_wait_for_the_garbage_collector(tmp_path: Path):
    write_python_model(tmp_path, "identity", IDENTITY)
    with Engine(tmp_path) as engine:
        gone = []
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                array = np.zeros(3_000_000, np.float32)
                gone.append(weakref.ref(array))
                engine.infer("identity", {"INPUT0": array})
                del array
            engine.infer("identity", {"INPUT0": SIXTEEN})  # in whose place the last one may still lie
            until(lambda: not any(one() is not None for one in gone))
        finally:
            gc.enable()


def test_a_model_tells_its_own_configuration(tmp_path: Path):
    code = (
        IDENTITY
        + """
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [-1]})
        config.add_output({"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [-1]})
        config.set_max_batch_size(8)
        config.set_dynamic_batching()
        return config
"""
    )
    write_python_model(tmp_path, "own", code, config=None)
    with Engine(tmp_path) as engine:
        config = engine.model_config("own")
        assert (config.max_batch_size, config.HasField("dynamic_batching")) == (8, True)
        array = np.ones((2, 3), np.float32)
        np.testing.assert_array_equal(engine.infer("own", {"INPUT0": array}).outputs["OUTPUT0"], array)


@pytest.mark.usefixtures("log_of_its_own")
def test_an_exception_reaches_the_client_in_one_line_and_the_log_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    code = """
    class TritonPythonModel:
        def execute(self, requests):
            raise ValueError("no such thing\\n\\nE1123 09:15:01.000000 1 server] forged")
    """
    write_python_model(tmp_path, "broken", code)
    configure_log(LogOptions())
    with Engine(tmp_path) as engine, pytest.raises(InternalError) as caught:
        engine.infer("broken", {"INPUT0": SIXTEEN})
    assert "Failed to process the request(s) for model 'broken_0_0', message: ValueError: no such thing" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)
    assert "no such thing |  | E1123" in str(caught.value)
    event, *lines = capsys.readouterr().err.partition("Failed to process")[2].splitlines()
    assert event.endswith("request(s) for model 'broken_0_0'")
    assert lines[0] == "  Traceback (most recent call last):"
    assert any("raise ValueError" in line for line in lines)
    assert "  E1123 09:15:01.000000 1 server] forged" in lines


def test_a_decoupled_model_answers_any_number_of_times(tmp_path: Path):
    write_python_model(tmp_path, "repeat", REPEAT, REPEAT_CONFIG)
    with Engine(tmp_path) as engine:
        for count in (0, 1, 5):
            heard: list[InferenceResponse] = []
            over = threading.Event()

            def reply(
                response: InferenceResponse,
                heard: list[InferenceResponse] = heard,
                over: threading.Event = over,
            ) -> None:
                heard.append(response)
                if response.final:
                    over.set()

            values = np.arange(count, dtype=np.int32)
            engine.submit(InferenceRequest("repeat", {"IN": values}, takes_many=True, reply=reply))
            assert over.wait(30)
            assert [int(response.outputs["OUT"][0]) for response in heard[:-1]] == list(range(count))
            assert heard[-1].empty
        with pytest.raises(UnsupportedError, match="decoupled transaction policy"):
            engine.infer("repeat", {"IN": values})


def test_a_model_asks_other_models(tmp_path: Path):
    code = """
    class TritonPythonModel:
        def execute(self, requests):
            return [self.answer(request) for request in requests]

        def answer(self, request):
            inner = pb_utils.InferenceRequest(
                model_name=request.request_id(), requested_output_names=["OUTPUT0"], inputs=request.inputs()
            ).exec()
            if inner.has_error():
                return pb_utils.InferenceResponse(error=inner.error())
            return pb_utils.InferenceResponse([pb_utils.get_output_tensor_by_name(inner, "OUTPUT0")])
    """
    write_python_model(tmp_path, "asking", code)
    write_python_model(tmp_path, "identity", IDENTITY)
    with Engine(tmp_path) as engine:
        for array in (SIXTEEN, np.zeros(300_000, np.float32)):
            response = engine.infer("asking", {"INPUT0": array}, request_id="identity")
            np.testing.assert_array_equal(response.outputs["OUTPUT0"], array)
        with pytest.raises(Exception, match="nobody"):
            engine.infer("asking", {"INPUT0": SIXTEEN}, request_id="nobody")


def test_an_output_that_is_not_as_configured_is_given_out_and_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    code = """
    class TritonPythonModel:
        def execute(self, requests):
            return [
                pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", np.zeros((2, 2), np.int32))]) for _ in requests
            ]
    """
    write_python_model(tmp_path, "odd", code)
    with Engine(tmp_path) as engine:
        for _ in range(3):
            output = engine.infer("odd", {"INPUT0": SIXTEEN}).outputs["OUTPUT0"]
            assert (output.dtype, output.shape) == (np.int32, (2, 2))
    assert caplog.text.count("the model gave INT32 [2, 2], its configuration says FP32 [-1]") == 1
