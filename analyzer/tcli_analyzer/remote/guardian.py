"""A process that outlives an analysis, and puts back what was loaded on the server before.

It does so when it is told to, or when the pipe to it closes, which happens however the analysis ends. It is in a session of its
own, so Ctrl-C does not reach it. While the server is gone it tries again for a while, and then says what is left to do.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.remote.loaded import as_json
from tcli_analyzer.remote.mark import Mark
from tcli_analyzer.remote.restoring import Changes, NotRestoredError, restore
from tcli_client import ClientError, connect

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from tcli_analyzer.remote.guardian import main; main()"
)
_READY_SECONDS = 60.0
_AGAIN_SECONDS = 0.5
_ANSWER_SECONDS = 60.0
_SIGN_SECONDS = 5.0
"""For which a sign of life is waited: whoever ends an analysis of a stuck server need not wait longer."""


class GuardianError(Exception):
    """The guardian could not be started, so that nothing may be changed on the server."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What a guardian is to look after.

    Attributes:
        url: of the server, with its scheme.
        original: as `Changes.original`.
        patience: seconds for which it tries again while the server is gone.
        log: where it says what is left to do if it gives up.
    """

    url: str
    model: str
    original: ModelConfig | None
    mark: Mark
    patience: float
    log: Path


@dataclass(frozen=True, slots=True)
class Restoration:
    """How it went.

    Attributes:
        done: False where the server is gone, and the guardian goes on trying, or has given up.
        text: for people; with what they are to do where it is not done.
    """

    done: bool
    text: str


class Guardian:
    """The near side. Lives from its making until `restore`.

    Raises:
        GuardianError: when it is made.
    """

    def __init__(self, charge: Charge) -> None:
        self._charge = charge
        self._changes = Changes(charge.original, charge.mark)
        self._start()

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def applying(self) -> None:
        """Say that the model is about to be changed. Starts another process where somebody has ended the first.

        Raises:
            GuardianError: it cannot be told, so the change must not be.
        """
        self._changes.uncertain = True
        if not self._tell("applying"):
            self._start()

    def applied(self) -> None:
        """Say that the change is done, or was refused."""
        self._changes.uncertain = False
        self._tell("applied")

    def died(self) -> None:
        """Say that the server has ended."""
        self._changes.died = True
        self._tell("died")

    def restore(self) -> Restoration:
        """Have the original put back, and wait for that while the server answers."""
        self._tell("restore")
        while (message := self._answers.get()) is not None:
            if "waiting" in message:
                self._leave()
                return self._not_done(message["waiting"], ". If it cannot: ")
            if "done" in message:
                self._leave()
                return Restoration(True, message["text"]) if message["done"] else self._not_done(message["text"])
        # Somebody has ended it, perhaps in the middle.
        self._leave()
        self._changes.uncertain = True
        with connect(self._charge.url, timeout=_ANSWER_SECONDS) as server:
            try:
                return Restoration(True, restore(server, self._charge.model, self._changes))
            except (NotRestoredError, ClientError) as error:
                return self._not_done(str(error))

    def _not_done(self, text: str, then: str = ". ") -> Restoration:
        return Restoration(False, f"{text}{then}{_what_to_do(self._charge)}")

    def _start(self) -> None:
        paths = json.dumps([path or str(Path.cwd()) for path in sys.path])
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, paths],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError as error:
            raise GuardianError(
                f"the process that puts the model's configuration back cannot be started: {error}"
            ) from None
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        assert self._process.stdout is not None
        threading.Thread(target=_read, args=(self._process.stdout, self._answers), daemon=True).start()
        charge = self._charge
        self._tell(
            json.dumps(
                {
                    "url": charge.url,
                    "model": charge.model,
                    "original": charge.original.SerializeToString().hex() if charge.original is not None else None,
                    "mark": asdict(charge.mark),
                    "patience": charge.patience,
                    "log": str(charge.log),
                    "uncertain": self._changes.uncertain,
                    "died": self._changes.died,
                }
            )
        )
        with contextlib.suppress(queue.Empty):
            if self._answers.get(timeout=_READY_SECONDS) is not None:
                return
        self._process.kill()
        self._leave()
        raise GuardianError("the process that puts the model's configuration back did not start")

    def _tell(self, word: str) -> bool:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(word + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            return False
        return self._process.poll() is None

    def _leave(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        threading.Thread(target=self._process.wait, daemon=True).start()  # no zombie, however long it goes on


def _read(output: TextIO, answers: "queue.SimpleQueue[dict[str, Any] | None]") -> None:
    with contextlib.suppress(OSError, ValueError), output:
        for line in output:
            answers.put(json.loads(line))
    answers.put(None)


def main() -> None:
    """Wait for the end of the analysis, then put the original back."""
    first = sys.stdin.readline()
    if not first:
        return
    told = json.loads(first)
    original = ModelConfig.FromString(bytes.fromhex(told["original"])) if told["original"] is not None else None
    charge = Charge(told["url"], told["model"], original, Mark(**told["mark"]), told["patience"], Path(told["log"]))
    changes = Changes(original, charge.mark, told["uncertain"], told["died"])
    _say({"ready": True})
    asked = False
    for line in sys.stdin:
        word = line.strip()
        changes.uncertain = word == "applying" or (changes.uncertain and word != "applied")
        changes.died = changes.died or word == "died"
        if word == "restore":
            asked = True
            break
    done, text = _restore(charge, changes)
    heard = _say({"done": done, "text": text}) and asked
    if not done:
        _complain(charge, text, heard)
    elif not heard:
        _mutter(f"tcli: the analysis of '{charge.model}' at {charge.url} has ended: {text}")


def _restore(charge: Charge, changes: Changes) -> tuple[bool, str]:
    until = time.monotonic() + charge.patience
    told = False
    while True:
        try:
            with connect(charge.url, timeout=_SIGN_SECONDS) as server:
                server.live()
            with connect(charge.url, timeout=_ANSWER_SECONDS) as server:  # a new one: a refused one waits ever longer
                return True, restore(server, charge.model, changes)
        except NotRestoredError as error:
            return False, str(error)
        except ClientError as error:
            if time.monotonic() > until:
                return False, f"{error} (tried for {charge.patience:g} s)"
            if not told:
                told = True
                _wait_in_background(charge, error)
        time.sleep(_AGAIN_SECONDS)


def _wait_in_background(charge: Charge, error: ClientError) -> None:
    text = (
        f"{error}: what was loaded before is put back as soon as it answers; a process in the background tries that for "
        f"{charge.patience:g} s, and writes to {charge.log} if it cannot"
    )
    if not _say({"waiting": text}):
        _mutter(f"tcli: the analysis of '{charge.model}' at {charge.url} has ended: {text}")
    nothing = os.open(
        os.devnull, os.O_RDWR
    )  # whoever waits for the end of what the analysis prints need not wait for this
    for stream in (1, 2):
        os.dup2(nothing, stream)


def _say(message: dict[str, Any]) -> bool:
    try:
        os.write(1, (json.dumps(message) + "\n").encode())
    except OSError:
        return False
    return True


def _complain(charge: Charge, text: str, heard: bool) -> None:
    """Into the log, and to people where nobody else tells them."""
    message = (
        f"tcli: what was loaded as '{charge.model}' at {charge.url} was not put back: {text}. {_what_to_do(charge)}"
    )
    if not heard:
        _mutter(message)
    with contextlib.suppress(OSError):
        charge.log.write_text(message + "\n")


def _what_to_do(charge: Charge) -> str:
    if charge.original is None:
        return f"Unload '{charge.model}' once the server is there again"
    return (
        f"Once the server is there again, unload '{charge.model}' and load it; if that does not give its earlier "
        f"configuration, load it with this as the parameter 'config': {as_json(charge.original)}"
    )


def _mutter(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, (text + "\n").encode())
