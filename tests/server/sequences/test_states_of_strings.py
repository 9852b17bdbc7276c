"""Implicit states of strings."""

from pathlib import Path

import numpy as np
from tritonclient.utils import serialize_byte_tensor

import sequence_models
from repositories import write_model
from tcli_server import Engine


def test_strings_of_an_initial_state_come_from_a_file(tmp_path: Path):
    state = "input_name: 'OLD' output_name: 'NEW' data_type: TYPE_STRING dims: [ 2 ]"
    first = "initial_state { name: 'first' data_type: TYPE_STRING dims: [ 2 ] data_file: 'words' }"
    config = f"""
        backend: "onnxruntime"
        input {{ name: "INPUT" data_type: TYPE_STRING dims: [ 2 ] }}
        output {{ name: "OUTPUT" data_type: TYPE_STRING dims: [ 2 ] }}
        sequence_batching {{ state {{ {state} {first} }} }}
    """
    words = np.array([b"caf\xc3\xa9", b""], np.object_)
    folder = write_model(tmp_path, "words", sequence_models.delayed_strings(), config)
    (folder / "initial_state").mkdir()
    (folder / "initial_state" / "words").write_bytes(serialize_byte_tensor(words).item())
    with Engine(tmp_path) as engine:
        for given, before in (([b"a", b"b"], words.tolist()), ([b"c", b"d"], [b"a", b"b"])):
            inputs = {"INPUT": np.array(given, np.object_)}
            outputs = engine.infer("words", inputs, sequence_id=1, sequence_start=given[0] == b"a").outputs
            assert outputs["OUTPUT"].tolist() == before
