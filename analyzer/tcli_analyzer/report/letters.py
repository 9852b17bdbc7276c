"""How charts and tables of a report call finalists: by letters, the same everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.point import Point
from tcli_analyzer.space import read_settings


@dataclass(frozen=True)
class Letters:
    """The finalists, in their order: the current configuration is A where it took part."""

    finalists: Sequence[Point]

    def of(self, configuration: Configuration) -> str:
        """Empty for one that is no finalist."""
        for letter, point in zip(ascii_uppercase, self.finalists, strict=False):
            if point.configuration is configuration:
                return letter
        return ""


def family_of(configuration: Configuration) -> str:
    """What computes: engine, provider and precision, such as "openvino bf16"; empty where nothing is said."""
    settings = read_settings(configuration.config)
    provider = f"+{settings.provider}" if settings.provider not in ("", "cpu") else ""
    return " ".join(filter(None, [f"{settings.engine}{provider}", settings.precision]))
