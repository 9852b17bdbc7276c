"""Instances of a model are opened side by side."""

from pathlib import Path

import numpy as np
import pytest

from python_models import IDENTITY_CONFIG, write_python_model
from tcli_server import Engine, EngineOptions
from tcli_server.errors import InvalidArgumentError

MEETING = """
    import pathlib, time


    class TritonPythonModel:
        def initialize(self, arguments):
            self.folder = pathlib.Path(pb_utils.get_model_dir()).parent
            name = arguments["model_instance_name"]
            (self.folder / f"here {name}").touch()
            deadline = time.monotonic() + 60
            while len(list(self.folder.glob("here *"))) < 3:
                assert time.monotonic() < deadline, "the others are not opened meanwhile"
                time.sleep(0.01)
            if name == FAILS:
                raise pb_utils.TritonModelException("not this one")
            self.gone = self.folder / f"gone {name}"

        def execute(self, requests):
            return [pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", r.inputs()[0].as_numpy())]) for r in requests]

        def finalize(self):
            self.gone.touch()
"""
THREE = IDENTITY_CONFIG + "instance_group { kind: KIND_CPU count: 3 }"
EXPLICIT = EngineOptions(model_control_mode="explicit")


def test_instances_that_wait_for_each_other_are_opened(tmp_path: Path):
    write_python_model(tmp_path, "m", MEETING.replace("FAILS", "None"), THREE)
    with Engine(tmp_path, options=EXPLICIT) as engine:
        engine.load("m")
        assert [place.name for place in engine.model("m").placements] == ["m_0_0", "m_0_1", "m_0_2"]
        assert engine.infer("m", {"INPUT0": np.ones(4, np.float32)}).outputs["OUTPUT0"].tolist() == [1, 1, 1, 1]


def test_if_one_cannot_be_opened_the_others_are_closed(tmp_path: Path):
    folder = write_python_model(tmp_path, "m", MEETING.replace("FAILS", '"m_0_1"'), THREE)
    with Engine(tmp_path, options=EXPLICIT) as engine:
        with pytest.raises(InvalidArgumentError, match="not this one"):
            engine.load("m")
        assert {path.name for path in folder.glob("gone *")} == {"gone m_0_0", "gone m_0_2"}
        assert not engine.models()
