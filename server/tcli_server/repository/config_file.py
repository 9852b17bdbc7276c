"""`config.pbtxt`: read with every mistake named, written so that a person can read and edit it."""

from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.errors import ConfigError
from tcli_server.repository.pbtxt import read_message
from tcli_server.repository.positions import Positions
from tcli_server.repository.problem import Problem
from tcli_server.repository.report import Report


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration file as far as it can be understood.

    Attributes:
        config: complete where there are no problems, else without what is not understood.
        positions: the line of each field.
        problems: syntax errors, unknown fields, values of the wrong type.
    """

    config: ModelConfig
    positions: Positions
    problems: list[Problem]


def read_config_file(path: Path) -> ConfigFile:
    """Read a `config.pbtxt` with the line of each field and all mistakes of form."""
    positions = Positions()
    report = Report(path, positions)
    config = ModelConfig()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        report.add("", error.strerror or str(error), "a file that can be read", "give read permission or remove it")
        return ConfigFile(config, positions, report.problems)
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        report.add("", "bytes that are not UTF-8", "a text file", "save the file as UTF-8 text", line)
        return ConfigFile(config, positions, report.problems)
    read_message(text, config, report, positions)
    if not report.problems:
        config = ModelConfig()
        try:
            text_format.Parse(text, config)  # the last word is protobuf's own
        except text_format.ParseError as error:
            report.add("", str(error), "protobuf text format", "correct this line", error.GetLine())
    return ConfigFile(config, positions, report.problems)


def read_config(path: Path) -> ModelConfig:
    """Read a `config.pbtxt`.

    Raises:
        ConfigError: it cannot be read; carries every mistake of form at once, each with its line.
    """
    file = read_config_file(path)
    if file.problems:
        raise ConfigError(file.problems)
    return file.config
