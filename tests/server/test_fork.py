"""A fork of a process with an engine: the child is told at once, and harms the parent's engine in no way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import onnx_models
from repositories import write_model

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

PROGRAM = """
import gc, glob, os, sys
import numpy as np
import onnx_models
from tcli_server import Engine, ServerError

rows = {"INPUT0": np.ones((1, 4), np.float32)}

def attempt(what, *arguments):
    try:
        what(*arguments)
    except ServerError as error:
        print(str(error).split(";")[0], error.kind.name)

with Engine(sys.argv[1]) as engine:
    engine.load("pushed", '{"backend": "onnxruntime"}', {"1/model.onnx": onnx_models.identity()})
    child = os.fork()
    if not child:
        attempt(engine.infer, "identity", rows)
        attempt(engine.load, "identity")
        attempt(engine.unload, "identity")
        print(engine.live(), engine.ready(), engine.shutdown())
        with Engine(sys.argv[1]) as own:
            print(own.infer("identity", rows).outputs["OUTPUT0"].tolist())
        del engine
        gc.collect()
        sys.stdout.flush()
        os._exit(0)  # as multiprocessing does: libraries must not be torn down without their threads
    else:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        print("parent", engine.infer("pushed", rows).outputs["OUTPUT0"].tolist())
        print(len(glob.glob(os.environ["TMPDIR"] + "/tcli-models-*")))
"""


def test_the_child_of_a_fork_is_told_and_the_parent_goes_on(tmp_path: Path):
    write_model(tmp_path / "models", "identity", onnx_models.identity())
    (tmp_path / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "models")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
    )
    assert done.returncode == 0, done.stderr
    told = "this engine was made before a fork and has no threads here UNAVAILABLE"
    child = [told, told, told, "False False True", "[[1.0, 1.0, 1.0, 1.0]]"]
    assert done.stdout.splitlines() == [*child, "parent [[1.0, 1.0, 1.0, 1.0]]", "1"]
    assert not list((tmp_path / "tmp").glob("tcli-models-*"))
