"""What a person reads where configuration and model file differ, and the file once a program has made the fix, word for word."""

from pathlib import Path

import pytest

from config_words import told
from tcli_server.signature import ModelSignature, TensorSignature


def signature(
    inputs: dict[str, tuple[str, tuple[int, ...]]], outputs: dict[str, tuple[str, tuple[int, ...]]]
) -> ModelSignature:
    return ModelSignature(
        tuple(TensorSignature(name, *rest) for name, rest in inputs.items()),
        tuple(TensorSignature(name, *rest) for name, rest in outputs.items()),
    )


BATCHING = signature({"x": ("FP32", (-1, 3, -1))}, {"y": ("BYTES", (-1,))})
FIXED = signature({"x": ("FP32", (1, 3, 4))}, {"y": ("FP32", (-1, 5))})
TWO = signature({"image": ("FP32", (-1, 3, 4)), "size": ("INT64", (-1,))}, {"y": ("FP32", (-1, 5))})
SCALARS = signature({"s": ("FP32", ())}, {"u": ("FP32", ())})
UNKNOWN = ModelSignature(
    (TensorSignature("x", "FP32", (), rank_known=False), TensorSignature("z", "COMPLEX64", (-1, 2))), ()
)
SIGNATURES: list[tuple[ModelSignature, str, str, str | None]] = [
    (
        BATCHING,
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 9, 3, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
        "2: input[0].dims: found [9, 3, 7] for 'x' with max_batch_size: 8, so the batch dimension is there twice, "
        "expected [ 3, 7 ]: with max_batch_size > 0 the batch dimension is not listed (the model file has shape [ -1, 3, -1 ]); "
        "fix: leave out the first dimension: dims: [ 3, 7 ]",
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
    ),
    (
        BATCHING,
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 4, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
        "2: input[0].dims: found [4, 7] for 'x', "
        "expected [ 3, -1 ] after the batch dimension (the model file has shape [ -1, 3, -1 ]); "
        "fix: write dims: [ 3, 7 ]",
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
    ),
    (
        BATCHING,
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 4 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
        "2: input[0].dims: found [4] for 'x', "
        "expected [ 3, -1 ] after the batch dimension (the model file has shape [ -1, 3, -1 ]); "
        "fix: write dims: [ 3, -1 ]",
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 3, -1 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
    ),
    (
        BATCHING,
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 1, 3, 7, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
        "2: input[0].dims: found [1, 3, 7, 7] for 'x', "
        "expected [ 3, -1 ] after the batch dimension (the model file has shape [ -1, 3, -1 ]); "
        "fix: write dims: [ 3, -1 ]",
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 3, -1 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
    ),
    (
        BATCHING,
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 5, 4, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
        "2: input[0].dims: found [5, 4, 7] for 'x', "
        "expected [ 3, -1 ] after the batch dimension (the model file has shape [ -1, 3, -1 ]); "
        "fix: write dims: [ 3, -1 ]",
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 3, -1 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
    ),
    (
        BATCHING,
        'input { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ -1 ] }',
        "1: input[0].dims: found [3, 7] for 'x' without the batch dimension although max_batch_size is 0, "
        "expected all dimensions: [ -1, 3, -1 ] (the model file has shape [ -1, 3, -1 ]); "
        "fix: set max_batch_size to 1 or more, or list the batch dimension too: dims: [ -1, 3, 7 ]",
        'input { name: "x" data_type: TYPE_FP32 dims: [ -1, 3, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ -1 ] }',
    ),
    (
        BATCHING,
        'input { name: "x" data_type: TYPE_FP32 dims: [ 4, 2, 2 ] }',
        "1: input[0].dims: found [4, 2, 2] for 'x', "
        "expected [ -1, 3, -1 ] (the model file has shape [ -1, 3, -1 ]); "
        "fix: write dims: [ 4, 3, 2 ]",
        'input { name: "x" data_type: TYPE_FP32 dims: [ 4, 3, 2 ] }',
    ),
    (
        BATCHING,
        'output { name: "y" data_type: TYPE_STRING dims: [ 5 ] }',
        "1: output[0].dims: found [5] for 'y', "
        "expected [ -1 ] (the model file has shape [ -1 ]); "
        "fix: write dims: [ -1 ]",
        'output { name: "y" data_type: TYPE_STRING dims: [ -1 ] }',
    ),
    (
        BATCHING,
        'max_batch_size: 1\ninput { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 5 ] }',
        "3: output[0].dims: found [5] for 'y', "
        "expected no dimension after the batch dimension (the model file has shape [ -1 ]); "
        "fix: write dims: [ 1 ] and reshape { shape: [ ] }",
        'max_batch_size: 1\ninput { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }\noutput { reshape { shape: [ ] } name: "y" data_type: TYPE_STRING dims: [ 1 ] }',
    ),
    (
        BATCHING,
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 5 ] reshape { shape: [ 5 ] } }',
        "3: output[0].reshape.shape: found [5] for 'y', "
        "expected no dimension after the batch dimension (the model file has shape [ -1 ]); "
        "fix: write dims: [ 1 ] and reshape { shape: [ ] }",
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { shape: [ ] } }',
    ),
    (
        BATCHING,
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_INT8 dims: [ 3, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
        "2: input[0].data_type: found TYPE_INT8 for 'x', "
        "expected TYPE_FP32, as in the model file; "
        "fix: write data_type: TYPE_FP32",
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
    ),
    (
        BATCHING,
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }\noutput { name: "y" data_type: TYPE_INT8 dims: [ 1 ] reshape { } }',
        "3: output[0].data_type: found TYPE_INT8 for 'y', "
        "expected TYPE_STRING, as in the model file; "
        "fix: write data_type: TYPE_STRING",
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
    ),
    (
        BATCHING,
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 optional: true dims: [ 3, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
        "2: input[0].optional: found true, "
        "expected false, as the model file has no value of its own for 'x'; "
        "fix: remove optional",
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32  dims: [ 3, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
    ),
    (
        BATCHING,
        'max_batch_size: 8\ninput { name: "zzz" data_type: TYPE_FP32 dims: [ 3, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
        "2: input[0].name: found 'zzz', expected an input of the model file: 'x'; fix: write name: \"x\"",
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
    ),
    (
        BATCHING,
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }\noutput { name: "zzz" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
        "3: output[0].name: found 'zzz', expected an output of the model file: 'y'; fix: write name: \"y\"",
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }\noutput { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } }',
    ),
    (
        FIXED,
        'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }\noutput { name: "y" data_type: TYPE_FP32 dims: [ 5 ] }',
        "1: max_batch_size: found 8, although the model file cannot batch: 'x' has shape [ 1, 3, 4 ], "
        "expected 0, or a model file whose inputs and outputs all have a first dimension that varies; "
        "fix: write max_batch_size: 0 and list all dimensions ('x': dims: [ 1, 3, 4 ]), or export the model with a dynamic batch dimension",
        None,
    ),
    (
        FIXED,
        'input { name: "x" data_type: TYPE_FP32 dims: [ 3, 4 ] }\noutput { name: "y" data_type: TYPE_FP32 dims: [ -1, 5 ] }',
        "1: input[0].dims: found [3, 4] for 'x', "
        "expected [ 1, 3, 4 ] (the model file has shape [ 1, 3, 4 ]); "
        "fix: add reshape { shape: [ 1, 3, 4 ] } to 'x' to keep these dims for clients, or write dims: [ 1, 3, 4 ]",
        'input { name: "x" data_type: TYPE_FP32 dims: [ 1, 3, 4 ] }\noutput { name: "y" data_type: TYPE_FP32 dims: [ -1, 5 ] }',
    ),
    (
        FIXED,
        'input { name: "x" data_type: TYPE_FP32 dims: [ 3, 5 ] }\noutput { name: "y" data_type: TYPE_FP32 dims: [ -1, 5 ] }',
        "1: input[0].dims: found [3, 5] for 'x', "
        "expected [ 1, 3, 4 ] (the model file has shape [ 1, 3, 4 ]); "
        "fix: write dims: [ 1, 3, 4 ]",
        'input { name: "x" data_type: TYPE_FP32 dims: [ 1, 3, 4 ] }\noutput { name: "y" data_type: TYPE_FP32 dims: [ -1, 5 ] }',
    ),
    (
        FIXED,
        'output { name: "y" data_type: TYPE_FP32 dims: [ 2, 5 ] }',
        "1: output[0].dims: found [2, 5] for 'y', "
        "expected [ -1, 5 ] (the model file has shape [ -1, 5 ]); "
        "fix: write dims: [ -1, 5 ]",
        'output { name: "y" data_type: TYPE_FP32 dims: [ -1, 5 ] }',
    ),
    (
        FIXED,
        'output { name: "y" data_type: TYPE_FP32 dims: [ 5 ] }',
        "1: output[0].dims: found [5] for 'y' without the batch dimension although max_batch_size is 0, "
        "expected all dimensions: [ -1, 5 ] (the model file has shape [ -1, 5 ]); "
        "fix: set max_batch_size to 1 or more, or list the batch dimension too: dims: [ -1, 5 ]",
        'output { name: "y" data_type: TYPE_FP32 dims: [ -1, 5 ] }',
    ),
    (
        TWO,
        'max_batch_size: 8\ninput { name: "size" data_type: TYPE_INT64 dims: 1 reshape { } }',
        "2: input: found no input 'image', "
        "expected every input of the model file: 'image', 'size'; "
        "fix: add an input 'image' with data_type TYPE_FP32 and dims [ 3, 4 ]",
        'max_batch_size: 8\ninput { name: "size" data_type: TYPE_INT64 dims: 1 reshape { } }\ninput { name: "image" data_type: TYPE_FP32 dims: [ 3, 4 ] }\n',
    ),
    (
        TWO,
        'max_batch_size: 8\ninput { name: "image" data_type: TYPE_FP32 dims: [ 3, 4 ] }',
        "2: input: found no input 'size', "
        "expected every input of the model file: 'image', 'size'; "
        "fix: add an input 'size' with data_type TYPE_INT64 and dims [ 1 ]",
        'max_batch_size: 8\ninput { name: "image" data_type: TYPE_FP32 dims: [ 3, 4 ] }\ninput { name: "size" data_type: TYPE_INT64 dims: [ 1 ] reshape { shape: [ ] } }\n',
    ),
    (
        TWO,
        'input { name: "image" data_type: TYPE_FP32 dims: [ -1, 3, 4 ] }',
        "1: input: found no input 'size', "
        "expected every input of the model file: 'image', 'size'; "
        "fix: add an input 'size' with data_type TYPE_INT64 and dims [ -1 ]",
        'input { name: "image" data_type: TYPE_FP32 dims: [ -1, 3, 4 ] }\ninput { name: "size" data_type: TYPE_INT64 dims: [ -1 ] }\n',
    ),
    (
        TWO,
        'max_batch_size: 8\ninput [ { name: "image" data_type: TYPE_FP32 dims: [ 3, 4 ] }, { name: "sizes" data_type: TYPE_INT64 dims: 1 } ]',
        "2: input[1].name: found 'sizes', "
        "expected an input of the model file: 'image', 'size'; "
        'fix: write name: "size"',
        'max_batch_size: 8\ninput [ { name: "image" data_type: TYPE_FP32 dims: [ 3, 4 ] }, { name: "size" data_type: TYPE_INT64 dims: 1 } ]',
    ),
    (
        SCALARS,
        'input { name: "s" data_type: TYPE_FP32 dims: [ 2 ] }',
        "1: input[0].dims: found [2] for 's', "
        "expected [ 1 ], as the model file has a scalar here; "
        "fix: write dims: [ 1 ]",
        'input { name: "s" data_type: TYPE_FP32 dims: [ 1 ] }',
    ),
    (
        SCALARS,
        'output { name: "u" data_type: TYPE_FP32 dims: [ 1, 2 ] }',
        "1: output[0].dims: found [1, 2] for 'u', "
        "expected [ 1 ], as the model file has a scalar here; "
        "fix: write dims: [ 1 ]",
        'output { name: "u" data_type: TYPE_FP32 dims: [ 1 ] }',
    ),
    (
        UNKNOWN,
        'input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] }',
        "1: input: found no input 'z', "
        "expected every input of the model file: 'x', 'z'; "
        "fix: add an input 'z' with data_type COMPLEX64 (which Triton has no type for) and dims [ -1, 2 ]",
        None,
    ),
    (
        UNKNOWN,
        'output { name: "y" data_type: TYPE_FP32 dims: 1 }',
        "1: output[0].name: found 'y', expected an output of the model file: none; fix: remove it",
        None,
    ),
]
"""What a model file has, text -> its one problem and the text with the fix made."""


@pytest.mark.parametrize(("model", "text", "problem", "fixed"), SIGNATURES)
def test_what_the_model_file_says_otherwise(
    tmp_path: Path, model: ModelSignature, text: str, problem: str, fixed: str | None
):
    assert told(tmp_path, text, model) == [(problem, fixed)]


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (SCALARS, 'input { name: "s" data_type: TYPE_FP32 dims: [ 1, 1 ] }'),
        (SCALARS, 'input { name: "s" data_type: TYPE_FP32 dims: 6 reshape { shape: 1 } }'),
    ],
)
def test_what_the_model_file_takes(tmp_path: Path, model: ModelSignature, text: str):
    assert [problem for problem, _ in told(tmp_path, text, model) if "shape [1] for dims" not in problem] == []


UNSHAPED = ModelSignature((TensorSignature("x", "FP32", (), rank_known=False),), ())


def test_a_tensor_whose_dimensions_nobody_knows(tmp_path: Path):
    text = 'max_batch_size: 0 input { name: "x" data_type: TYPE_FP32 dims: DIMS }'
    assert told(tmp_path, text.replace("DIMS", "[ 1, 1 ]"), UNSHAPED) == []
    (problem,) = told(tmp_path, text.replace("DIMS", "[ 1, 2 ]"), UNSHAPED)
    assert problem == (
        "1: input[0].dims: found [1, 2] for 'x', "
        "expected [ 1 ], as the model file does not say how many dimensions it has; fix: export the model with shapes",
        None,
    )
    assert told(tmp_path, text.replace("x_size: 0", "x_size: 4").replace("DIMS", "[ 1 ]"), UNSHAPED) == []


def test_a_type_that_triton_has_none_for_is_told_and_not_written(tmp_path: Path):
    (problem, fixed), *others = told(tmp_path, 'input { name: "z" data_type: TYPE_FP32 dims: [ -1, 2 ] }', UNKNOWN)
    assert problem == (
        "1: input[0].data_type: found TYPE_FP32 for 'z', expected COMPLEX64 (which Triton has no type for), "
        "as in the model file; fix: write data_type: COMPLEX64 (which Triton has no type for)"
    )
    assert fixed is None
    assert [(problem.split(";")[-1], fixed) for problem, fixed in others] == [
        (" fix: add an input 'x' with data_type TYPE_FP32 and dims [ 1 ]", None)
    ]


def test_a_name_that_may_be_any_is_not_written(tmp_path: Path):
    text = 'max_batch_size: 8 input { name: "qqq" data_type: TYPE_FP32 dims: [ 3, 4 ] } output { name: "q" }'
    names = {problem: fixed for problem, fixed in told(tmp_path, text, TWO) if ".name" in problem}
    assert names == {
        "1: input[0].name: found 'qqq', expected an input of the model file: 'image', 'size'; fix: use one of these names": None,
        "1: output[0].name: found 'q', expected an output of the model file: 'y'; fix: write name: \"y\"": text.replace(
            '"q"', '"y"'
        ),
    }
