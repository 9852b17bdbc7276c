"""TensorFlow itself, imported with what must be set before that."""

import os

# Else the threads inside of operators are one pool for all sessions, as wide as the first one of the process says.
os.environ.setdefault("TF_OVERRIDE_GLOBAL_THREADPOOL", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from tcli_server.backends.tensorflow.chatter import no_chatter

with no_chatter():
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import config_pb2, saved_model_pb2

tf.get_logger().setLevel("ERROR")  # how it reads SavedModels is called deprecated at every load

__all__ = ["DecodeError", "config_pb2", "saved_model_pb2", "tf"]
