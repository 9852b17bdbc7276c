"""`config.pbtxt`: read with every mistake named."""

import codecs
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.errors import ConfigError
from tcli_server.repository.pbtxt import read_message
from tcli_server.repository.positions import Positions
from tcli_server.repository.problem import Problem
from tcli_server.repository.report import Report
from tcli_server.repository.text_file import UnreadableFileError, read_bytes

_MOST_BYTES = 1 << 20  # a hundred times the largest known
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration file as far as it can be understood.

    Attributes:
        config: complete where there are no problems, else without what is not understood.
        positions: the place of each field, and which of them could not be read.
        problems: syntax errors, unknown fields, values of the wrong type, in the order of their lines.
        text: what `edits` of problems change; bytes that are not UTF-8 are lone surrogates in it.
    """

    config: ModelConfig
    positions: Positions
    problems: list[Problem]
    text: str = ""


def read_config_file(path: Path) -> ConfigFile:
    """Read a `config.pbtxt` with the place of each field and all mistakes of form."""
    config = ModelConfig()
    try:
        text = _read_text(path)
    except UnreadableFileError as error:
        positions = Positions()
        positions.lose()
        report = Report(path, positions)
        report.add("", error.found, "a configuration in protobuf text format", error.fix, 1)
        return ConfigFile(config, positions, report.problems)
    positions = Positions(text)
    report = Report(path, positions)
    read_message(text, config, report, positions)
    return ConfigFile(config, positions, sorted(report.problems, key=lambda problem: problem.line or 0), text)


def read_config(path: Path) -> ModelConfig:
    """Read a `config.pbtxt`.

    Raises:
        ConfigError: it cannot be read; carries every mistake of form at once, each with its line.
    """
    file = read_config_file(path)
    if file.problems:
        raise ConfigError(file.problems)
    return file.config


def _read_text(path: Path) -> str:
    content = read_bytes(path, _MOST_BYTES)
    if content.startswith(_UTF_16):
        fix = "save the file as UTF-8 text (in PowerShell: Set-Content -Encoding utf8NoBOM)"
        raise UnreadableFileError("UTF-16 text, not UTF-8", fix)
    # bytes that are no UTF-8 do no harm in a comment: the reader finds them where they do
    return content.decode("utf-8", "surrogateescape")
