"""What a person reads about a rule that is broken, and what the file is once a program has made the fix, word for word."""

from pathlib import Path

import pytest

from config_words import told

RULES: list[tuple[str, str, str | None]] = [
    (
        '\nname: "other"',
        "2: name: found 'other', "
        "expected 'm', the name of the model's folder; "
        'fix: write name: "m", leave the field out, or rename the folder',
        '\nname: "m"',
    ),
    (
        "version_policy { latest { num_versions: 0 } }",
        "1: version_policy.latest.num_versions: found 0, so no version at all, "
        "expected 1 or more; "
        "fix: write num_versions: 1",
        "version_policy { latest { num_versions: 1 } }",
    ),
    (
        "version_policy { latest { } }",
        "1: version_policy.latest.num_versions: found 0, so no version at all, "
        "expected 1 or more; "
        "fix: write num_versions: 1",
        "version_policy { latest { num_versions: 1 } }",
    ),
    (
        "input { data_type: TYPE_FP32 dims: 3 }",
        '1: input[0].name: found nothing, expected the tensor\'s name in the model; fix: add name: "..."',
        None,
    ),
    (
        'input { name: "x" dims: 3 }',
        "1: input[0].data_type: found nothing, "
        "expected the tensor's data type; "
        "fix: add data_type: TYPE_FP32 or another one",
        None,
    ),
    (
        'input { name: "x" data_type: TYPE_FP32 }',
        "1: input[0].dims: found nothing, "
        "expected the tensor's shape, without the batch dimension where the model batches; "
        "fix: add dims: [ ... ]; for a scalar dims: [ 1 ]",
        None,
    ),
    (
        'max_batch_size: 1 input { name: "x" data_type: TYPE_FP32 }',
        "1: input[0].dims: found nothing, "
        "expected the tensor's shape, without the batch dimension where the model batches; "
        "fix: add dims: [ ... ]; for a scalar dims: [ 1 ] and reshape { shape: [ ] }",
        None,
    ),
    (
        'input { name: "x" data_type: TYPE_FP32 dims: [ 3, 0 ] }',
        "1: input[0].dims[1]: found 0, "
        "expected 1 or more, or -1 where the dimension varies; "
        "fix: write -1, or the dimension",
        'input { name: "x" data_type: TYPE_FP32 dims: [ 3, -1 ] }',
    ),
    (
        'input { name: "x" data_type: TYPE_FP32 dims: [ -2, -1 ] }',
        "1: input[0].dims[0]: found -2, "
        "expected 1 or more, or -1 where the dimension varies; "
        "fix: write -1, or the dimension",
        'input { name: "x" data_type: TYPE_FP32 dims: [ -1, -1 ] }',
    ),
    (
        'input { name: "x" data_type: TYPE_FP32 dims: [ 3 ] reshape { shape: [ ] } }',
        "1: input[0].reshape: found an empty reshape, "
        "expected at least one dimension, because max_batch_size is 0; "
        "fix: remove reshape, or write reshape { shape: [ 1 ] }",
        'input { name: "x" data_type: TYPE_FP32 dims: [ 3 ]  }',
    ),
    (
        'input { name: "x" data_type: TYPE_FP32 dims: [ 3, 4 ] reshape { shape: [ 11 ] } }',
        "1: input[0].reshape: found shape [11] for dims [3, 4], "
        "expected as many elements in shape as in dims, also between dimensions of -1; "
        "fix: correct one of the two",
        None,
    ),
    (
        'input { name: "x" data_type: TYPE_FP32 dims: [ 3, 4 ] format: FORMAT_NHWC }',
        "1: input[0].format: found FORMAT_NHWC with 2 dims, "
        "expected exactly 3 dims for an image, the batch dimension not among them; "
        "fix: remove format, or list 3 dims (with reshape { shape: [3, 4] } if the model wants them so)",
        'input { name: "x" data_type: TYPE_FP32 dims: [ 3, 4 ]  }',
    ),
    (
        'input { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }\ninput { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }',
        "2: input[1].name: found 'x' twice, "
        "expected each name once; "
        "fix: remove this input, or write the name that was meant",
        'input { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }\n',
    ),
    (
        'output { name: "y" data_type: TYPE_FP32 dims: 1 }\noutput { name: "y" data_type: TYPE_FP32 dims: 1 }',
        "2: output[1].name: found 'y' twice, "
        "expected each name once; "
        "fix: remove this output, or write the name that was meant",
        'output { name: "y" data_type: TYPE_FP32 dims: 1 }\n',
    ),
    (
        "instance_group [ { }, { kind: KIND_CPU gpus: [ 1 ] } ]",
        "1: instance_group[1].gpus: found [1] with KIND_CPU, expected no gpus; fix: remove gpus, or write KIND_GPU",
        "instance_group [ { }, { kind: KIND_CPU  } ]",
    ),
    (
        "instance_group { count: -2 }",
        "1: instance_group[0].count: found -2, expected 1 or more; fix: write count: 1",
        "instance_group { count: 1 }",
    ),
    (
        'instance_group { kind: KIND_GPU gpus: 1 profile: "a" }',
        "1: instance_group[0].profile: found a setting, "
        "expected nothing: tcli does not support this field yet; "
        "fix: remove it, or serve this model with NVIDIA Triton",
        "instance_group { kind: KIND_GPU gpus: 1  }",
    ),
    (
        'metric_tags { key: "a-b" value: "1" }',
        "1: metric_tags[\"a-b\"]: found the tag 'a-b', "
        "expected a name for Prometheus: letters (a-z, A-Z), digits and _, the first one no _; "
        'fix: write key: "a_b"',
        'metric_tags { key: "a_b" value: "1" }',
    ),
    (
        'metric_tags { key: "__a" value: "1" }',
        "1: metric_tags[\"__a\"]: found the tag '__a', "
        "expected a name for Prometheus: letters (a-z, A-Z), digits and _, the first one no _; "
        'fix: write key: "a"',
        'metric_tags { key: "a" value: "1" }',
    ),
    (
        'model_metrics { metric_control { metric_identifier { family: "latency" } histogram_options { buckets: 1 } } }',
        "1: model_metrics.metric_control[0].metric_identifier.family: found 'latency', "
        "expected a histogram: nv_inference_first_response_histogram_ms, tcli_request_duration_seconds, tcli_batch_size; "
        "fix: write one of these, or remove this metric_control",
        None,
    ),
    (
        'model_metrics { metric_control { metric_identifier { family: "tcli_batch_size" } '
        "histogram_options { buckets: [2, 1] } } }",
        "1: model_metrics.metric_control[0].histogram_options.buckets: found [2.0, 1.0], "
        "expected upper bounds in ascending order, at most 100, none of them infinite; "
        "fix: write, for example, histogram_options { buckets: [10, 100, 1000] }",
        None,
    ),
    (
        "max_batch_size: -3",
        "1: max_batch_size: found -3, "
        "expected 0 (the model does not batch) or the largest batch; "
        "fix: write max_batch_size: 0",
        "max_batch_size: 0",
    ),
    (
        "max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 4, 0 ] }",
        "1: dynamic_batching.preferred_batch_size[1]: found 0, expected a batch size of 1 or more; fix: remove it",
        "max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 4 ] }",
    ),
    (
        "max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 5, 4 ] }",
        "1: dynamic_batching.preferred_batch_size[0]: found 5, "
        "expected at most max_batch_size, which is 4; "
        "fix: remove it, or raise max_batch_size to 5",
        "max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 4 ] }",
    ),
    (
        "dynamic_batching { priority_levels: 5 }",
        "1: dynamic_batching.default_priority_level: found nothing, "
        "expected a level from 1 (the highest) to 5, for requests that ask for none; "
        "fix: write default_priority_level: 3",
        "dynamic_batching { default_priority_level: 3 priority_levels: 5 }",
    ),
    (
        "dynamic_batching { priority_levels: 4 default_priority_level: 9 }",
        "1: dynamic_batching.default_priority_level: found 9, "
        "expected a level from 1 (the highest) to 4, for requests that ask for none; "
        "fix: write default_priority_level: 2",
        "dynamic_batching { priority_levels: 4 default_priority_level: 2 }",
    ),
    (
        "dynamic_batching { priority_levels: 1 }",
        "1: dynamic_batching.default_priority_level: found nothing, "
        "expected a level from 1 (the highest) to 1, for requests that ask for none; "
        "fix: write default_priority_level: 1",
        "dynamic_batching { default_priority_level: 1 priority_levels: 1 }",
    ),
    (
        "dynamic_batching { priority_levels: 2 default_priority_level: 2 priority_queue_policy { key: 3 value { } } priority_queue_policy { key: 2 value { } } }",
        '1: dynamic_batching.priority_queue_policy["3"]: found a policy for level 3, '
        "expected a level from 1 to 2 (priority_levels); "
        "fix: remove this policy, or write the level that was meant",
        "dynamic_batching { priority_levels: 2 default_priority_level: 2  priority_queue_policy { key: 2 value { } } }",
    ),
    (
        "dynamic_batching { preserve_ordering: true priority_levels: 2 default_priority_level: 2 }",
        "1: dynamic_batching.preserve_ordering: found true with priority_levels: 2, "
        "expected false, as a request of a higher level overtakes others; "
        "fix: remove preserve_ordering, or write priority_levels: 1",
        "dynamic_batching {  priority_levels: 2 default_priority_level: 2 }",
    ),
    (
        "dynamic_batching { preserve_ordering: true default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 1 } }",
        "1: dynamic_batching.default_queue_policy.timeout_action: found DELAY with preserve_ordering: true, "
        "expected REJECT, as a request that is delayed is overtaken by others; "
        "fix: write timeout_action: REJECT, or remove preserve_ordering",
        "dynamic_batching { preserve_ordering: true default_queue_policy { timeout_action: REJECT default_timeout_microseconds: 1 } }",
    ),
    (
        "dynamic_batching { preserve_ordering: true priority_queue_policy { key: 2 value { timeout_action: DELAY default_timeout_microseconds: 1 } } }",
        '1: dynamic_batching.priority_queue_policy["2"].value.timeout_action: found DELAY with preserve_ordering: true, '
        "expected REJECT, as a request that is delayed is overtaken by others; "
        "fix: write timeout_action: REJECT, or remove preserve_ordering",
        "dynamic_batching { preserve_ordering: true priority_queue_policy { key: 2 value { timeout_action: REJECT default_timeout_microseconds: 1 } } }",
    ),
    (
        'default_model_filename: "../x"',
        "1: default_model_filename: found '../x', which leaves the folder, "
        "expected the path of a file inside the model's folder, written with '/' and relative to it; "
        "fix: copy the file into FOLDER, and write its path from there",
        None,
    ),
    (
        'default_model_filename: "C:x"',
        "1: default_model_filename: found 'C:x', an absolute path, "
        "expected the path of a file inside the model's folder, written with '/' and relative to it; "
        "fix: copy the file into FOLDER, and write its path from there",
        None,
    ),
    (
        'output { name: "y" data_type: TYPE_FP32 dims: 1 label_filename: "l.txt" }',
        "1: output[0].label_filename: found 'l.txt', which is not in FOLDER, "
        "expected a text file with one class name a line; "
        "fix: put the file there, or remove label_filename",
        'output { name: "y" data_type: TYPE_FP32 dims: 1  }',
    ),
    (
        "optimization { priority: PRIORITY_MAX }",
        "1: optimization.priority: found PRIORITY_MAX, "
        "expected nothing: tcli does not support this field yet; "
        "fix: remove it, or serve this model with NVIDIA Triton",
        "optimization {  }",
    ),
    (
        "optimization { eager_batching: true cuda { } }",
        "1: optimization.eager_batching: found true, "
        "expected nothing: tcli does not support this field yet; "
        "fix: remove it, or serve this model with NVIDIA Triton",
        "optimization {  cuda { } }",
    ),
    (
        "optimization { gather_kernel_buffer_threshold: 5 }",
        "1: optimization.gather_kernel_buffer_threshold: found '5', "
        "expected nothing: tcli does not support this field yet; "
        "fix: remove it, or serve this model with NVIDIA Triton",
        "optimization {  }",
    ),
    (
        'parameters { key: "TRITON_BATCH_STRATEGY_PATH" value { string_value: "x" } }',
        '1: parameters["TRITON_BATCH_STRATEGY_PATH"]: found a custom batching library, '
        "expected nothing: tcli does not support this field yet; "
        "fix: remove it, or serve this model with NVIDIA Triton",
        "",
    ),
    (
        'cc_model_filenames { key: "7.5" value: "x" }',
        "1: cc_model_filenames: found a setting, "
        "expected nothing: tcli does not support this field yet; "
        "fix: remove it, or serve this model with NVIDIA Triton",
        "",
    ),
    (
        "dynamic_batching { preserve_ordering: true }\nresponse_cache { enable: true }",
        "2: response_cache.enable: found true, "
        "expected false, as answers from a cache do not go with dynamic_batching.preserve_ordering; "
        "fix: remove response_cache",
        "dynamic_batching { preserve_ordering: true }\n",
    ),
]
"""Text -> its one problem and the text with the fix made, by the rules that hold without a model file."""


@pytest.mark.parametrize(("text", "problem", "fixed"), RULES)
def test_a_rule_that_is_broken(tmp_path: Path, text: str, problem: str, fixed: str | None):
    assert told(tmp_path, text) == [(problem, fixed)]
