"""Parameters that are tcli's own are judged as a backend's are."""

from pathlib import Path

import pytest

from tcli_server.models.check import check_repository

PICTURES = 'backend: "image"\nmax_batch_size: 1\nparameters { key: "%s" value { string_value: "1" } }'


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "pictures" / "1").mkdir(parents=True)
    return tmp_path


def test_a_misspelt_parameter_of_tcli_is_told_with_what_is_meant(repository: Path) -> None:
    (repository / "pictures" / "config.pbtxt").write_text(PICTURES % "tcli_image_scalling")
    (problem,) = check_repository(repository)
    assert problem.field == 'parameters["tcli_image_scalling"]'
    assert problem.expected.startswith("a parameter of tcli: ")
    assert problem.fix == 'write "tcli_image_scaling", or remove it'


@pytest.mark.parametrize("key", ["tcli_placeholder", "tcli_image_scaling", "tcli_image_resize_to"])
def test_parameters_of_tcli_are_no_backends_business(repository: Path, key: str) -> None:
    (repository / "pictures" / "config.pbtxt").write_text(PICTURES % key)
    assert check_repository(repository) == []
