"""The `checksum` repository agent: a model is loaded only if its files are those whose checksums its configuration gives.

Source: Triton's checksum_repository_agent, which knows MD5 alone; SHA256 is ours.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.repository.layout import ModelFolder
from tcli_server.repository.path_rules import path_fault
from tcli_server.repository.pbtxt import quoted
from tcli_server.repository.positions import Positions
from tcli_server.repository.problem import Problem
from tcli_server.repository.report import Report
from tcli_server.repository.text_file import UnreadableFileError, open_file

AGENT = "checksum"
"""The one repository agent that there is."""

_ALGORITHMS = {"md5": "MD5", "sha256": "SHA256"}

Stamp = tuple[int, int, int, int, int]
"""Device, inode, bytes, and the nanoseconds of the last change of content and of anything: a file at one moment."""


@dataclass(frozen=True, slots=True)
class _Checksum:
    field: str
    algorithm: str
    path: str
    value: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What was read of a model's files to compare their checksums.

    Attributes:
        problems: each file that is not what its checksum says.
        stamps: the files at the moment before they were read.
    """

    problems: list[Problem]
    stamps: dict[Path, Stamp]

    def changed(self) -> list[Path]:
        """The files that are not those any more that were read, or were written meanwhile."""
        return [path for path, stamp in self.stamps.items() if _stamp_of(path) != stamp]


def check_agents(config: ModelConfig, report: Report) -> None:
    """Report agents that there are not, and what the checksum agent could not understand."""
    for index, agent in enumerate(config.model_repository_agents.agents):
        path = f"model_repository_agents.agents[{index}]"
        if agent.name != AGENT:
            report.add(
                f"{path}.name",
                f"'{agent.name}'",
                f"'{AGENT}': tcli has no other repository agent",
                "remove it, or serve this model with NVIDIA Triton",
                edits=report.removing(path) if agent.name else (),
            )
            continue
        for key in sorted(agent.parameters):
            _check_key(f'{path}.parameters["{key}"]', key, report)


def _check_key(field: str, key: str, report: Report) -> None:
    algorithm, colon, path = key.partition(":")
    expected = "ALGORITHM:PATH of a file in the model's folder, for example MD5:1/model.onnx"
    names = " or ".join(_ALGORITHMS.values())
    if not colon:
        report.add(field, f"failed to parse key: {key}", expected, f"write key: {quoted(f'MD5:{key}')}")
    elif algorithm.lower() not in _ALGORITHMS:
        report.add(field, f"Unsupported checksum algorithm: {algorithm}", names, "take the checksum with one of these")
    elif fault := path_fault(path):
        report.add(field, f"{path!a}, {fault}", expected, "write the path from the model's folder on, with '/'")


def verify_checksums(config: ModelConfig, folder: ModelFolder, positions: Positions | None = None) -> Verified:
    """Read every file whose checksum is given, as a whole; the configuration is one that `check_agents` is content with."""
    report = Report(folder.config_path, positions)
    stamps: dict[Path, Stamp] = {}
    for checksum in _checksums(config):
        file = folder.path / checksum.path
        try:
            found, stamp = _digest(file, checksum.algorithm)
        except FileNotFoundError:
            report.add(
                checksum.field, f"'{checksum.path}', which is not in {folder.path}", "a file", "put the file there"
            )
        except (OSError, UnreadableFileError) as error:
            why = getattr(error, "strerror", None) or str(error)
            report.add(checksum.field, f"'{checksum.path}', which is {why}", "a file that can be read", "replace it")
        else:
            stamps.setdefault(file, stamp)
            if found != checksum.value:
                _mismatch(checksum, found, report)
    return Verified(report.problems, stamps)


def _mismatch(checksum: _Checksum, found: str, report: Report) -> None:
    in_capitals = checksum.value.lower() == found
    report.add(
        checksum.field,
        f"Mismatched {checksum.algorithm} hash for file {checksum.path}, expect: {checksum.value}, got: {found}",
        "the hash in lower case" if in_capitals else "the file whose hash that is",
        f"write value: {quoted(found)}" if in_capitals else "put that file back; if this one is right, write its hash",
        edits=report.writing(f"{checksum.field}.value", quoted(found)) if in_capitals else (),
    )


def _checksums(config: ModelConfig) -> Iterator[_Checksum]:
    for index, agent in enumerate(config.model_repository_agents.agents):
        for key, value in sorted(agent.parameters.items()):
            algorithm, _, path = key.partition(":")
            field = f'model_repository_agents.agents[{index}].parameters["{key}"]'
            yield _Checksum(field, _ALGORITHMS[algorithm.lower()], path, value)


def _digest(path: Path, algorithm: str) -> tuple[str, Stamp]:
    """A file's checksum, and what it was before it was read.

    Raises:
        OSError: it cannot be opened or read.
        UnreadableFileError: it is no file.
    """
    with open_file(path) as file:
        stamp = _stamp(os.fstat(file.fileno()))
        # lets others run: neither reading nor hashing holds Python's lock
        digest = hashlib.file_digest(file, partial(hashlib.new, algorithm, usedforsecurity=False))
    return digest.hexdigest(), stamp


def _stamp_of(path: Path) -> Stamp | None:
    try:
        return _stamp(path.stat())
    except OSError:
        return None


def _stamp(status: os.stat_result) -> Stamp:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
