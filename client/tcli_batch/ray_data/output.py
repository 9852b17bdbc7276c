"""The output of a job that many machines work at: a folder of parts, named by the order of the data.

While the job goes on, the folder `OUT.parts` beside it says what the job is (`job.json`), and for each share that is done how
many rows it has (`00000012.json`) and which were refused (`00000012.errors.jsonl`). A share is done when that file is there; it is
written after the share's part, and both have names that follow from the share: one that is worked at twice, as a node was
lost, is there once.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from tcli_batch.block import Refusal
from tcli_batch.errors import JobError
from tcli_batch.parts import ERRORS, difference, refusal_line
from tcli_batch.ray_data.folder import Folder

_JOURNAL = "job.json"


class Output:
    """The parts of one output.

    Args:
        out: a folder to be made, or an address.

    Raises:
        DataError: the address is not understood.
    """

    def __init__(self, out: str) -> None:
        self.out = out.rstrip("/")
        above, self._name = self.out.rpartition("/")[::2]
        self._above = Folder(above or ("/" if out.startswith("/") else "."))
        self._parts = Folder(self.out)
        self._shares = Folder(f"{self.out}.parts")
        self.suffix = PurePosixPath(self._name).suffix.lower()

    # --- the driver's side ---

    @property
    def unfinished(self) -> bool:
        """Whether a job is there that did not come to its end."""
        return self._shares.has(_JOURNAL)

    @property
    def written(self) -> bool:
        """Whether something is there."""
        return self._parts.is_file or bool(self._parts.names())

    def begin(self, journal: Mapping[str, Any]) -> None:
        """Begin anew; parts of an earlier output are taken away.

        Raises:
            JobError: something else is there.
        """
        if self._parts.is_file:
            self._above.delete(self._name)
        others = [name for name in self._parts.names() if not self._is_part(name)]
        if others:
            raise JobError(
                f"the folder '{self.out}' holds '{others[0]}', which is no part of an output", "name another output"
            )
        for name in self._parts.names():
            self._parts.delete(name)
        for name in self._shares.names():
            self._shares.delete(name)
        self._parts.make()
        self._shares.make()
        self._shares.write(_JOURNAL, json.dumps(journal, indent=1).encode())

    def resume(self, journal: Mapping[str, Any]) -> dict[int, tuple[int, int]]:
        """Go on with what is there.

        Returns:
            Number of each share that is done -> its rows, and those refused.

        Raises:
            JobError: it is of another job; says what differs.
        """
        try:
            before = json.loads(self._shares.read(_JOURNAL))
        except ValueError:
            raise JobError(f"'{self.out}.parts/{_JOURNAL}' is damaged", "--overwrite begins anew") from None
        differs = difference(before, json.loads(json.dumps(journal)))
        if differs:
            raise JobError(f"'{self.out}' cannot be gone on with: {differs}", "--overwrite begins anew")
        return self.done()

    def done(self) -> dict[int, tuple[int, int]]:
        """As `resume`, of the job that goes on."""
        found = {}
        for name in self._shares.names():
            stem = name.removesuffix(".json")
            if stem != name and stem.isdigit():
                counts = json.loads(self._shares.read(name))
                found[int(stem)] = counts["rows"], counts["refused"]
        return found

    def finish(self) -> None:
        """All shares are done: gather the refusals, and take away what says how far the job is."""
        refusals = [name for name in self._shares.names() if name.endswith(ERRORS)]
        told = f"{self._name}{ERRORS}"
        if refusals:
            with self._above.appearing(told) as stream:
                for name in refusals:
                    stream.write(self._shares.read(name))
        elif self._above.has(told):
            self._above.delete(told)
        for name in self._parts.names():
            if name.startswith("."):  # left behind by a task whose node was lost
                self._parts.delete(name)
        self._shares.remove()

    # --- the actors' side ---

    @property
    def seen(self) -> bool:
        """Whether the job is there, seen from this machine."""
        return self._shares.has(_JOURNAL)

    def commit(self, number: int, part: Path | None, refusals: Sequence[Refusal], rows: int) -> None:
        """A share is done.

        Args:
            part: with its rows; None where there are none.

        Raises:
            OSError: it cannot be written.
        """
        name = f"{number:08}"
        if part is not None:
            self._parts.put(part, f"part-{name}{self.suffix}")
        if refusals:
            self._shares.write(f"{name}{ERRORS}", b"".join(map(refusal_line, refusals)))
        self._shares.write(f"{name}.json", json.dumps({"rows": rows, "refused": len(refusals)}).encode())

    def _is_part(self, name: str) -> bool:
        plain = name.removeprefix(".")
        with suppress(ValueError):
            return plain.startswith("part-") and int(plain[5:13]) >= 0 and self.suffix in plain
        return False
