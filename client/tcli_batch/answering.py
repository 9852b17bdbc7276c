"""Rows of files through a model: what every job does, and each part of one that many machines work at."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from tcli_batch.addresses import file_state
from tcli_batch.asking import Asking
from tcli_batch.block import Answers, Cursor
from tcli_batch.ranking import Ranking
from tcli_batch.reading import Reader
from tcli_batch.results import Results
from tcli_batch.signature import read_signature
from tcli_batch.sources.kinds import DataFile, Kinds
from tcli_client import Scaling, Transport
from tcli_client.discovery import describe


@dataclass(frozen=True)
class JobOptions:
    """What becomes of the data.

    Attributes:
        version: of the model; empty for the highest that is ready.
        given: input -> columns, as `parse_map` gives them.
        scaling: of pictures; None for what the model's configuration says.
        classes: how many of the highest classes to write for each row; 0 for none.
        raw: write the output tensors.
        requests: under way at a time.
        threads: that decode pictures; 0 for one a core.
    """

    model: str
    version: str = ""
    given: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scaling: Scaling | None = None
    classes: int = 0
    raw: bool = True
    requests: int = 8
    threads: int = 0


class Answering:
    """Asks a model about the rows of files.

    Attributes:
        kinds: what opens the files.
        reader: of their rows.
        ranking: of the model's outputs.

    Raises:
        DataError: the options do not go with the model.
        OptionError: the scaling does not.
        ClientError: no answer.
    """

    def __init__(self, server: Transport, files: Sequence[DataFile], options: JobOptions) -> None:
        self.server = server
        self.files = files
        self.options = options
        self.signature = read_signature(server, options.model, options.version)
        self.kinds = Kinds(server, self.signature, options.scaling)
        from tcli_server.hardware.cores import usable_cores  # brings the engine with it, which not every user needs

        self.reader = Reader(files, self.kinds, options.given, options.threads or usable_cores())
        self.ranking = Ranking(self.signature, options.classes)

    def results(
        self,
        start: Cursor = Cursor(),  # noqa: B008  it cannot be changed
        stop: threading.Event | None = None,
        end: Cursor | None = None,
    ) -> Iterator[tuple[Results, Answers]]:
        """Rows from a place on, in order, as they are answered; with what is refused, and where the data goes on.

        Args:
            stop: set from another thread or a signal's handler, ends it soon.
            end: the place to end at; None for the end of the data.

        Raises:
            StoppedError: `stop` was set.
            ClientError: no answer comes any more. What was answered is given first.
        """
        asking = Asking(self.server, self.signature, self.options.requests, stop)
        with asking, closing(self.reader.blocks(start, end)) as blocks:
            for answers in asking.answers(blocks):
                classes = self.ranking.rank(answers, asking.ask)
                tensors = answers.outputs if self.options.raw else {}
                yield Results(answers.sources, answers.indices, dict(tensors), classes), answers

    def identity(self, mapping: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """What must be the same for a job to be gone on with."""
        options = self.options
        return {
            "files": [file_state(file.name) for file in self.files],
            "model": self.signature.model,
            "model_version": self.signature.version,
            "model_digest": self._digest(),
            "inputs": {name: list(columns) for name, columns in mapping.items()},
            "scaling": options.scaling.value if options.scaling else "",
            "classes": options.classes,
            "raw_outputs": options.raw,
        }

    def _digest(self) -> str:
        """Changes with the configuration of the model and of those it is made of, and with their files where these are here."""
        signature = self.signature
        digest = hashlib.sha256()
        versions, waiting = {signature.model: signature.version}, [signature.model]
        while waiting:
            model = waiting.pop()
            metadata, config = describe(self.server, model, versions[model])
            for message in (metadata, config):
                if message is not None:
                    digest.update(json_format.MessageToJson(message, sort_keys=True).encode())
            if self.server.address.protocol == "local":
                _digest_files(Path(self.server.address.path) / model, digest.update)
            for step in config.ensemble_scheduling.step if config else ():
                if step.model_name not in versions:
                    versions[step.model_name] = str(step.model_version) if step.model_version > 0 else ""
                    waiting.append(step.model_name)
        return digest.hexdigest()


def _digest_files(folder: Path, update: Callable[[bytes], None]) -> None:
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        # Loading a model may leave what Python compiled, and caches.
        if file.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in name.parts):
            state = file.stat()
            update(f"{name.as_posix()} {state.st_size} {state.st_mtime_ns}\n".encode(errors="backslashreplace"))
