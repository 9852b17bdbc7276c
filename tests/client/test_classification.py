"""Pictures shown to real models of every kind, over both protocols."""

import shutil
from collections import Counter

import httpx
import numpy as np
import pytest
from onnx import helper
from PIL import Image

import batching_models
from colour_models import write_colour_models
from tcli_client import (
    ClientError,
    ImageClassifier,
    NotAClassifierError,
    NotFoundError,
    OptionError,
    Scaling,
    choose_image_model,
    connect,
)
from tcli_server import Engine
from tcli_server.serving import ServeOptions, Server

COLOURS = {"red": (255, 51, 0), "green": (0, 255, 51), "blue": (51, 0, 255)}
LABELS = {0: "red: hot", 1: "green", 2: "blue"}


@pytest.fixture
def pictures(tmp_path) -> list[str]:
    """A red, a green and a blue picture."""
    for name, colour in COLOURS.items():
        Image.new("RGB", (12, 9), colour).save(tmp_path / f"{name}.png")
    return [str(tmp_path / f"{name}.png") for name in COLOURS]


def best(results) -> list[str]:
    found = []
    for result in results:
        assert result.error is None, result.error
        found.append(result.classes[0].label)
    return found


@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize("batch_size", [1, 2, 4])
@pytest.mark.parametrize("model", ["colours", "nhwc", "no_format", "explicit"])
def test_batches_of_every_size_give_the_same_answers(colours, pictures, model, batch_size, in_flight):
    classifier = ImageClassifier(colours, model)
    results = list(classifier.classify(pictures, 3, Scaling.NONE, batch_size, in_flight))
    assert [result.file for result in results] == pictures
    for position, result in enumerate(results):
        ranked = [position, (position + 1) % 3, (position + 2) % 3]
        scores = COLOURS[("red", "green", "blue")[position]]
        assert [(item.index, item.label) for item in result.classes] == sorted(
            ((index, LABELS[index]) for index in ranked), key=lambda item: -scores[item[0]]
        )
        assert [item.score for item in result.classes] == sorted(map(float, scores), reverse=True)


def test_a_model_without_batching(colours, pictures):
    classifier = ImageClassifier(colours, "a_placeholder")
    assert best(classifier.classify(pictures)) == ["red: hot", "green", "blue"]
    assert classifier.model.placeholder == "random weights"
    with pytest.raises(OptionError, match="batch size 2"):
        classifier.classify(pictures, batch_size=2)


def test_a_batch_fixed_in_the_model_is_filled_up(colours, pictures):
    assert best(ImageClassifier(colours, "fixed_two").classify(pictures, batch_size=2)) == ["red: hot", "green", "blue"]
    assert best(ImageClassifier(colours, "fixed_two").classify(pictures)) == ["red: hot", "green", "blue"]


def test_integer_inputs_get_plain_pixels(colours, pictures):
    results = list(ImageClassifier(colours, "uint8").classify(pictures, batch_size=3))
    assert best(results) == ["red: hot", "green", "blue"]
    assert [result.classes[0].score for result in results] == [255, 255, 255]


def test_scores_that_servers_do_not_rank_are_ranked_here(colours, pictures):
    classifier = ImageClassifier(colours, "half")
    assert not classifier.ranked_by_server
    results = list(classifier.classify(pictures, classes=2, scaling=Scaling.NONE, batch_size=3))
    assert [[(item.index, item.score, item.label) for item in result.classes] for result in results] == [
        [(0, 255, None), (1, 51, None)],
        [(1, 255, None), (2, 51, None)],
        [(2, 255, None), (0, 51, None)],
    ]


def test_the_filling_of_a_fixed_batch_is_not_ranked_here(colours, pictures):
    classifier = ImageClassifier(colours, "half_two")
    (result,) = classifier.classify(pictures[1:2], classes=1, scaling=Scaling.NONE)
    assert [(item.index, item.score) for item in result.classes] == [(1, 255)]
    assert [one.classes[0].index for one in classifier.classify(pictures, batch_size=2)] == [0, 1, 2]


def test_a_grey_model_and_more_classes_than_it_has(colours, pictures):
    (result,) = ImageClassifier(colours, "grey").classify(pictures[:1], classes=9, scaling=Scaling.NONE)
    grey = round(0.299 * 255 + 0.587 * 51)
    assert [(item.index, item.score) for item in result.classes] == [(0, grey), (1, -grey)]


@pytest.mark.parametrize("in_flight", [1, 3])
def test_a_bad_file_loses_nothing_else_not_even_in_its_batch(colours, pictures, tmp_path, in_flight):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    files = [pictures[0], str(tmp_path / "bad.png"), str(tmp_path / "missing.png"), *pictures[1:]]
    results = list(ImageClassifier(colours, "colours").classify(files, batch_size=3, in_flight=in_flight))
    assert [result.file for result in results] == files
    assert [bool(result.error) for result in results] == [False, True, True, False, False]
    assert best(result for result in results if not result.error) == ["red: hot", "green", "blue"]


def test_the_last_request_holds_what_remains(colour_urls, pictures):
    def executions() -> Counter[int]:
        """Of `colours` by batch size, as the server counted them."""
        answer = httpx.get(f"{colour_urls['http']}/v2/models/colours/stats").json()
        batches = answer["model_stats"][0].get("batch_stats", [])
        return Counter({int(entry["batch_size"]): int(entry["compute_infer"]["count"]) for entry in batches})

    before = executions()
    with connect(colour_urls["http"]) as transport:
        list(ImageClassifier(transport, "colours").classify(pictures * 3, batch_size=4))
    assert executions() - before == {4: 2, 1: 1}


def test_files_are_read_as_they_are_needed(colours, pictures):
    read = []

    def endless():
        while True:
            read.append(1)
            yield pictures[0]

    results = ImageClassifier(colours, "colours").classify(endless(), in_flight=3)
    for _ in range(5):
        next(results)
    results.close()
    assert len(read) < 15


@pytest.mark.parametrize("options", [{"classes": 0}, {"batch_size": 0}, {"in_flight": 0}, {"batch_size": 5}])
def test_impossible_options(colours, pictures, options):
    with pytest.raises(OptionError):
        ImageClassifier(colours, "colours").classify(pictures, **options)


def test_the_trained_classifier_with_labels_is_chosen(colours):
    assert choose_image_model(colours).name == "colours"


def chosen(folder, *names: str, unlabelled: tuple[str, ...] = ()) -> str:
    """The model that is chosen from these of the colour models."""
    models = write_colour_models(folder / "models")
    for model in list(models.iterdir()):
        if model.name not in names:
            shutil.rmtree(model)
        elif model.name in unlabelled:
            config = (model / "config.pbtxt").read_text()
            (model / "config.pbtxt").write_text(config.replace('label_filename: "labels.txt"', ""))
    options = ServeOptions(http_address="127.0.0.1", http_port=0, allow_grpc=False, allow_metrics=False)
    with Server(Engine(models), options) as server, connect(f"127.0.0.1:{server.http_port}") as transport:
        return choose_image_model(transport).name


def test_trained_weights_count_more_than_class_names(tmp_path):
    assert chosen(tmp_path, "a_placeholder", "nhwc", unlabelled=("nhwc",)) == "nhwc"


def test_class_names_count_more_than_the_models_name(tmp_path):
    assert chosen(tmp_path, "colours", "nhwc", unlabelled=("colours",)) == "nhwc"


def test_a_single_score_is_no_choice(tmp_path):
    """Such as that of a model of quality: a ranking of one class says nothing."""
    models = write_colour_models(tmp_path / "other")
    node = helper.make_node("ReduceMean", ["picture"], ["quality"], axes=[1, 2, 3], keepdims=0)
    unsqueeze = helper.make_node("Unsqueeze", ["quality", "axis"], ["score"])
    batching_models.save(
        models / "a_score" / "1" / "model.onnx",
        [node, unsqueeze],
        {"picture": ["N", 3, 32, 32]},
        {"score": ["N", 1]},
        [batching_models.integers("axis", 1)],
    )
    options = ServeOptions(http_address="127.0.0.1", http_port=0, allow_grpc=False, allow_metrics=False)
    for model in list(models.iterdir()):
        if model.name not in ("a_score", "a_placeholder"):
            shutil.rmtree(model)
    with Server(Engine(models), options) as server, connect(f"127.0.0.1:{server.http_port}") as transport:
        assert choose_image_model(transport).name == "a_placeholder"


def test_no_classifier_at_all(standard):
    with pytest.raises(NotAClassifierError, match="add_sub"):
        choose_image_model(standard)


def test_unknown_models_and_versions(colours):
    with pytest.raises(NotFoundError, match="'colors' is not at") as unknown:
        ImageClassifier(colours, "colors")
    assert unknown.value.fix.startswith("did you mean 'colours'? served models: a_placeholder, colours, ")
    with pytest.raises(NotFoundError, match="no version 5") as unknown:
        ImageClassifier(colours, "colours", "5")
    assert unknown.value.fix == "ready: version 1"
    assert ImageClassifier(colours, "colours", "1").version == "1"


def test_version_10_is_higher_than_9(pictures, tmp_path):
    model = write_colour_models(tmp_path / "models") / "colours"
    for version in ("9", "10"):
        shutil.copytree(model / "1", model / version)
    with (model / "config.pbtxt").open("a") as config:
        config.write("version_policy { all {} }")
    options = ServeOptions(http_address="127.0.0.1", http_port=0, allow_grpc=False, allow_metrics=False)
    with (
        Server(Engine(tmp_path / "models"), options) as server,
        connect(f"127.0.0.1:{server.http_port}") as transport,
    ):
        classifier = ImageClassifier(transport, "colours")
        assert classifier.version == "10"
        assert best(classifier.classify(pictures)) == ["red: hot", "green", "blue"]
        with pytest.raises(NotFoundError) as unknown:
            ImageClassifier(transport, "colours", "5")
        assert unknown.value.fix == "ready: version 1, 9, 10"


def test_a_server_that_goes_away(pictures, tmp_path):
    options = ServeOptions(http_address="127.0.0.1", http_port=0, allow_grpc=False, allow_metrics=False)
    with Server(Engine(write_colour_models(tmp_path / "models")), options) as server:
        transport = connect(f"127.0.0.1:{server.http_port}")
        results = ImageClassifier(transport, "colours").classify(pictures)
        assert next(results).classes
    with transport, pytest.raises(ClientError, match=r"no server answers|closed the connection|lost"):
        next(results)


def test_answers_are_exact(colours, pictures):
    (result,) = ImageClassifier(colours, "colours").classify(pictures[:1], classes=3, scaling=Scaling.INCEPTION)
    expected = sorted((round(value / 127.5 - 1, 6) for value in COLOURS["red"]), reverse=True)
    np.testing.assert_allclose([item.score for item in result.classes], expected, atol=2e-6)
