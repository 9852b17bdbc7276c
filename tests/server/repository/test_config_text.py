"""How a configuration is written, line by line."""

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.repository import format_config

CONFIGURATION = """metric_tags { key: "b" value: "2" } metric_tags { key: "a" value: "1" }
parameters { key: "p" value { string_value: "ä \\"q\\"" } }
optimization { graph { level: -1 } input_pinned_memory { enable: false } }
dynamic_batching { preferred_batch_size: [ 4, 8 ] preserve_ordering: true priority_queue_policy { key: 2 value { timeout_action: DELAY max_queue_size: 3 } } priority_queue_policy { key: 1 value { } } }
instance_group [ { kind: KIND_CPU count: 2 }, { gpus: [ 0, 1 ] } ]
version_policy { latest { num_versions: 2 } }
output { name: "o" data_type: 99 dims: 1 reshape { } }
input [ { name: "a" data_type: TYPE_FP32 dims: [ 3, -1 ] optional: true }, { name: "b" data_type: TYPE_STRING dims: 1 reshape { shape: [ 1, 1 ] } } ]
backend: "onnxruntime" name: "m"
response_cache { }
model_warmup { name: "w" inputs { key: "x" value { zero_data: false dims: 2 } } }
"""
WRITTEN = """# One.
#
# Two.

# The name.
name: "m"
backend: "onnxruntime"

# None.
max_batch_size: 0

# What it
# takes.
input [
  {
    name: "a"
    data_type: TYPE_FP32
    dims: [ 3, -1 ]
    optional: true
  },
  {
    name: "b"
    data_type: TYPE_STRING
    dims: [ 1 ]
    reshape { shape: [ 1, 1 ] }
  }
]
output [
  {
    name: "o"
    data_type: 99
    dims: [ 1 ]
    reshape { shape: [ ] }
  }
]
version_policy { latest { num_versions: 2 } }
instance_group [
  {
    kind: KIND_CPU
    count: 2
  },
  {
    gpus: [ 0, 1 ]
  }
]
dynamic_batching {
  preferred_batch_size: [ 4, 8 ]
  preserve_ordering: true
  priority_queue_policy {
    key: 1
    value { }
  }
  priority_queue_policy {
    key: 2
    value {
      timeout_action: DELAY
      max_queue_size: 3
    }
  }
}
metric_tags {
  key: "a"
  value: "1"
}
metric_tags {
  key: "b"
  value: "2"
}
optimization {
  graph { level: -1 }
  input_pinned_memory { }
}
parameters {
  key: "p"
  value { string_value: "ä \\"q\\"" }
}
model_warmup [
  {
    name: "w"
    inputs {
      key: "x"
      value {
        dims: [ 2 ]
        zero_data: false
      }
    }
  }
]
response_cache { }
"""


def test_a_configuration_is_written_for_people():
    config = text_format.Parse(CONFIGURATION, ModelConfig())
    comments = {"name": "The name.", "max_batch_size": "None.", "input": "What it\ntakes.", "platform": "Not there."}
    text = format_config(config, "One.\n\nTwo.  ", comments)
    assert text == WRITTEN
    assert text_format.Parse(text, ModelConfig()) == config


def test_a_configuration_of_nothing_still_says_that_it_does_not_batch():
    assert format_config(ModelConfig()) == "max_batch_size: 0\n"
    assert format_config(ModelConfig(name="m"), comments={"name": "N"}) == '# N\nname: "m"\nmax_batch_size: 0\n'
