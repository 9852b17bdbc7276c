"""Tensors in shared memory over both protocols, with NVIDIA's clients and their own way of making it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psutil
import pytest
import tritonclient.grpc
import tritonclient.http
import tritonclient.utils.shared_memory as shm
from small_files import write
from tritonclient.utils import InferenceServerException, serialized_byte_size

from tcli_server import Engine
from tcli_server.serving import ServeOptions, Server

NUMBERS = np.arange(4, dtype=np.float32).reshape(1, 4)
ECHO = """
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUT", pb_utils.get_input_tensor_by_name(r, "IN").as_numpy())])
                for r in requests]
"""
