"""The sample photo, wherever tcli runs from: an installed wheel carries it, a source tree has it under `examples/`."""

from pathlib import Path

_PLACES = (
    Path(__file__).parent / "samples" / "coffee.jpg",
    Path(__file__).parent.parent / "examples" / "images" / "coffee.jpg",
)


def sample_photo() -> Path:
    """A cup of espresso, by Rachel Michetti (CC0).

    Raises:
        FileNotFoundError: the installation is damaged.
    """
    for path in _PLACES:
        if path.is_file():
            return path
    raise FileNotFoundError(f"the sample photo is neither at {' nor at '.join(map(str, _PLACES))}")
