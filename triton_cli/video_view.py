"""What `tcli infer` shows of videos: a line for each change of the top class and a summary, or a JSON line for each frame."""

import json
import shutil
import sys
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from triton_cli.console import err
from triton_cli.infer_view import as_json, complain, introduce, one_line, score_text

if TYPE_CHECKING:
    from tcli_client import Classification, Classifier, ClientError
    from tcli_client.video import FrameResult, Video

_CLASSES_SHOWN = 5
_Class = tuple[int, str | None]


class VideoView(ABC):
    """Shows frames as their answers come; problems go to stderr.

    Attributes:
        failed: whether there was a problem so far.
    """

    def __init__(self) -> None:
        self.failed = False
        self.tally = Tally()

    @abstractmethod
    def begin(self, classifier: "Classifier", scaling: str, chosen: bool) -> None:
        """Say who answers; `chosen` where the user did not name the model."""

    def begin_video(self, video: "Video") -> None:
        """The frames of this video come next."""
        self.tally = Tally()
        self._name = video.name

    def show(self, result: "FrameResult") -> None:
        """Show what came of one frame."""
        if result.error:
            self.failed = True
            complain(self._name, result.error, f", frame {result.index} ({clock(result.time)})")
        else:
            self.tally.add(result)
        self._show(result)

    @abstractmethod
    def _show(self, result: "FrameResult") -> None: ...

    @abstractmethod
    def end_video(self, end: float | None) -> None:
        """No more frames come.

        Args:
            end: seconds from the first frame to the end of the video; None where it was not reached.
        """

    def complain(self, name: str, problem: "ClientError") -> None:
        """Say why a video cannot be read, or not to its end."""
        self.failed = True
        complain(name, problem)


class TextVideoView(VideoView):
    """`Video 'FILE':`, a line for each change of the top class, and a summary."""

    def __init__(self) -> None:
        super().__init__()
        self._top: int | None = None

    def begin(self, classifier: "Classifier", scaling: str, chosen: bool) -> None:
        if chosen:
            introduce(classifier, f"{scaling} scaling")

    def begin_video(self, video: "Video") -> None:
        super().begin_video(video)
        self._top = None
        _print(f"Video '{one_line(video.name)}':")

    def _show(self, result: "FrameResult") -> None:
        if result.error or not result.classes or result.classes[0].index == self._top:
            return
        top = result.classes[0]
        self._top = top.index
        _print(f"    {clock(result.time)}  {score_text(top.score)} {_named((top.index, top.label))}")

    def end_video(self, end: float | None) -> None:
        tally = self.tally
        shares = tally.shares(end)
        if not shares:
            return
        _print(f"    {tally.line()}")
        for name, share in shares[:_CLASSES_SHOWN]:
            _print(f"    {share:6.1%} {_named(name)}")
        if others := shares[_CLASSES_SHOWN:]:
            _print(f"    {sum(share for _, share in others):6.1%} {len(others)} others")


class JsonVideoView(VideoView):
    """A line for each frame, and nothing else on stdout."""

    def begin(self, classifier: "Classifier", scaling: str, chosen: bool) -> None:
        pass

    def _show(self, result: "FrameResult") -> None:
        line = {"file": self._name, "frame": result.index, "time": result.time}
        more = {"error": str(result.error)} if result.error else {"classes": as_json(result.classes)}
        print(json.dumps(line | more), flush=True)

    def end_video(self, end: float | None) -> None:
        if end is None:
            err().print(f"'{one_line(self._name)}': {self.tally.line()}", markup=False)

    def complain(self, name: str, problem: "ClientError") -> None:
        super().complain(name, problem)
        print(json.dumps({"file": name, "error": str(problem)}), flush=True)


class Tally:
    """Counts the answered frames of one video, and for how long each class was the top one."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._frames = 0
        self._seconds: dict[_Class, float] = {}
        self._last: FrameResult | None = None

    def add(self, result: "FrameResult") -> None:
        """The next frame; the one before was shown until this one is."""
        self._frames += 1
        if self._last is not None:
            self._count(self._last.classes, result.time - self._last.time)
        self._last = result

    def shares(self, end: float | None) -> list[tuple[_Class, float]]:
        """The classes with their parts of the time, the largest first; the last frame was shown until `end`."""
        if self._last is None:
            return []
        self._count(self._last.classes, self._last.seconds if end is None else max(0.0, end - self._last.time))
        whole = sum(self._seconds.values())
        shares = [(name, seconds / whole if whole else 0.0) for name, seconds in self._seconds.items()]
        return sorted(shares, key=lambda item: -item[1])

    def line(self) -> str:
        """How many frames, up to when, and how fast."""
        took = time.perf_counter() - self._begun
        until = self._last.time + self._last.seconds if self._last else 0.0
        frames = f"{self._frames} {'frame' if self._frames == 1 else 'frames'}"
        return f"{frames} up to {clock(until)} in {took:.1f} s: {self._frames / took if took else 0.0:.1f} frames/s"

    def _count(self, classes: "tuple[Classification, ...]", seconds: float) -> None:
        if classes:
            name = (classes[0].index, classes[0].label)
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds


def clock(seconds: float) -> str:
    """Hours, minutes, seconds and thousandths: 0:01:02.040."""
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"


def _named(name: _Class) -> str:
    return f"({name[0]}) {one_line(name[1] or '')}".rstrip()


def _print(line: str) -> None:
    """One line, also on a terminal that is narrower than it."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        line = line if len(line) <= width else line[: max(0, width - 1)] + "…"
    print(line, flush=True)
