"""Which optimization profile a batch runs by, and how large it may be; without TensorRT."""

import pytest

from tcli_server.backends.tensorrt.description import EngineDescription, EngineTensor, Profile, Range, Shape
from tcli_server.backends.tensorrt.profiles import (
    choose_profile,
    chosen_profiles,
    filled_batch,
    fixed_batch,
    largest_batch,
)
from tcli_server.backends.tensorrt.signature import engine_signature
from tcli_server.errors import InvalidArgumentError


def engine(shapes: dict[str, Shape], *profiles: dict[str, tuple[Shape, Shape, Shape]]) -> EngineDescription:
    """Inputs of these shapes, and one output Y of the first one's."""
    inputs = [EngineTensor(name, True, "FP32", shape) for name, shape in shapes.items()]
    output = EngineTensor("Y", False, "FP32", inputs[0].shape)
    return EngineDescription(
        (*inputs, output),
        tuple(Profile({name: Range(*limits) for name, limits in rows.items()}, {}) for rows in profiles),
    )


WIDE = engine(
    {"X": (-1, -1)},
    {"X": ((1, 1), (1, 8), (8, 64))},
    {"X": ((1, 1), (8, 8), (8, 64))},
    {"X": ((1, 32), (4, 48), (4, 64))},
)


@pytest.mark.parametrize(("shape", "number"), [((1, 8), 0), ((8, 8), 1), ((4, 8), 0), ((5, 8), 1), ((4, 48), 2), ((1, 30), 0),
                                               ((5, 48), 1), ((1, 33), 2)])  # fmt: skip
def test_the_profile_whose_best_shapes_are_the_nearest_runs_a_batch(shape: Shape, number: int):
    assert choose_profile(WIDE, (0, 1, 2), {"X": shape}, {}, "m_0") == number


def test_only_the_profiles_of_the_instance_count():
    assert choose_profile(WIDE, (1, 2), {"X": (1, 8)}, {}, "m_0") == 1


@pytest.mark.parametrize(("shape", "words"), [
    ((9, 8), "input 'X'. Error details: model expected the shape of dimension 0 to be between 1 and 8 but received 9"),
    ((0, 8), "dimension 0 to be between 1 and 8 but received 0"),
    ((1, 65), "dimension 1 to be between 1 and 64 but received 65"),
    ((1,), "model expected 2 dimensions but received 1 dimensions"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_limits(shape: Shape, words: str):
    with pytest.raises(InvalidArgumentError) as refused:
        choose_profile(WIDE, (0,), {"X": shape}, {}, "m_0")
    assert words in str(refused.value)
    assert "m_0" in str(refused.value)


def test_values_of_shape_tensors_have_limits_too():
    shapes = Profile({"S": Range((2,), (2,), (2,))}, {"S": Range((1, 1), (2, 2), (4, 4))})
    far = Profile({"S": Range((2,), (2,), (2,))}, {"S": Range((1, 1), (4, 4), (8, 8))})
    described = EngineDescription((EngineTensor("S", True, "INT32", (2,), True, True),), (shapes, far))
    both = (0, 1)
    assert [choose_profile(described, both, {"S": (2,)}, {"S": size}, "m") for size in ((2, 2), (4, 4), (8, 1))] == [
        0,
        1,
        1,
    ]
    with pytest.raises(InvalidArgumentError, match="index 1 is expected to be between 1 and 4, but got 5"):
        choose_profile(described, (0,), {"S": (2,)}, {"S": (1, 5)}, "m")
    with pytest.raises(InvalidArgumentError, match=r"Expecting 2\. Got 3"):
        choose_profile(described, (0,), {"S": (2,)}, {"S": (1, 1, 1)}, "m")


def test_the_largest_batch_is_one_that_all_inputs_take_by_some_profile():
    two = {"X": (-1, 4), "Z": (-1, 2)}
    limits = ((1, 4), (2, 4), (8, 4)), ((1, 2), (2, 2), (6, 2))
    more = ((1, 4), (2, 4), (5, 4)), ((1, 2), (2, 2), (9, 2))
    described = engine(two, dict(zip(two, limits, strict=True)), dict(zip(two, more, strict=True)))
    assert [largest_batch(described, chosen) for chosen in ((0,), (1,), (0, 1))] == [6, 5, 6]


@pytest.mark.parametrize(
    "shapes", [{"X": (4, 4)}, {"X": (-1, 4), "Z": (4, 4)}, {"X": (4, -1)}, {"X": (-1, 4), "Z": ()}]
)
def test_first_dimensions_that_do_not_vary_everywhere_are_no_batch(shapes: dict[str, Shape]):
    fixed = {name: (shape, shape, shape) for name, shape in shapes.items()}
    assert largest_batch(engine(shapes, fixed), (0,)) is None


def test_a_fixed_batch_is_one_only_if_the_configuration_says_so():
    described = engine({"X": (4, 3), "Z": (4,)}, {"X": ((4, 3),) * 3, "Z": ((4,),) * 3})
    assert fixed_batch(described) == 4
    assert engine_signature(described, (0,), batches=False).inputs[0].shape == (4, 3)
    signature = engine_signature(described, (0,), batches=True)
    assert [tensor.shape for tensor in (*signature.inputs, *signature.outputs)] == [(-1, 3), (-1,), (-1, 3)]
    assert signature.most_batch == 4
    assert fixed_batch(engine({"X": (4, 3), "Z": (3,)}, {})) is None
    assert fixed_batch(engine({"X": (), "Z": ()}, {})) is None


def test_a_batch_is_filled_up_to_the_least_that_a_profile_takes():
    limits = Range((3, 1), (4, 1), (8, 1))
    profile = Profile({"X": limits}, {})
    assert [filled_batch(profile, rows) for rows in (1, 3, 5)] == [3, 3, 5]
    described = EngineDescription((EngineTensor("X", True, "FP32", (-1, 1)),), (profile,))
    assert choose_profile(described, (0,), {"X": (1, 1)}, {}, "m", batches=True) == 0
    with pytest.raises(InvalidArgumentError, match="between 3 and 8 but received 1"):
        choose_profile(described, (0,), {"X": (1, 1)}, {}, "m")


def test_profiles_are_named_by_their_numbers():
    assert chosen_profiles((), 3, "m_0") == (0,)
    assert chosen_profiles(("2", "0", "2"), 3, "m_0") == (0, 2)
    with pytest.raises(InvalidArgumentError, match=r"found '3'.*profiles 0 to 2"):
        chosen_profiles(("0", "3"), 3, "m_0")
