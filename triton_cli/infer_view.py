"""What `tcli infer` shows: text as Triton's image client prints it, or one JSON document."""

import json
import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from triton_cli.console import err, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tcli_client import Classification, Classifier, ClientError, ImageResult


class View(ABC):
    """Shows an answer image by image; problems go to stderr as they come.

    Attributes:
        failed: whether there was a problem so far.
    """

    failed = False

    @abstractmethod
    def begin(self, classifier: "Classifier", scaling: str, chosen: bool) -> None:
        """Say who answers; `chosen` where the user did not name the model, an empty scaling where it is the server's matter."""

    @abstractmethod
    def show(self, result: "ImageResult") -> None:
        """Show what came of one image."""

    @abstractmethod
    def end(self) -> None:
        """Nothing more comes."""

    def complain(self, file: str, problem: "ClientError") -> None:
        """Say on stderr why there are no classes for a file."""
        self.failed = True
        complain(file, problem)


def complain(file: str, problem: "ClientError", where: str = "") -> None:
    """Print to stderr what is wrong with a file, or at a place in it."""
    from rich.text import Text

    # One print: what has no end of line yet would be wiped by a progress bar.
    message = Text.assemble(("error:", "bold red"), f" '{one_line(file)}'{where}: {printable(str(problem))}")
    err().print(message.append(f"\n  fix: {printable(problem.fix)}") if problem.fix else message)


def introduce(classifier: "Classifier", how: str) -> None:
    """Say who answers, where the user did not name the model."""
    print(f"Model '{one_line(classifier.model.name)}', version {one_line(classifier.version)}, {how}")


class TextView(View):
    """`Image 'FILE':` and a line for each class: score, index, label."""

    def begin(self, classifier: "Classifier", scaling: str, chosen: bool) -> None:
        if chosen:
            introduce(classifier, f"{scaling} scaling" if scaling else "pictures as they are")

    def show(self, result: "ImageResult") -> None:
        if result.error:
            self.complain(result.file, result.error)
            return
        scores = [score_text(item.score) for item in result.classes]
        width = max(map(len, scores), default=0)
        lines = [f"Image '{one_line(result.file)}':"]
        for item, score in zip(result.classes, scores, strict=True):
            lines.append(f"    {score:>{width}} ({item.index}) {one_line(item.label or '')}".rstrip())
        print("\n".join(lines), flush=True)  # flushed, so that errors stand where they belong, in a pipe too

    def end(self) -> None:
        pass


class JsonView(View):
    """One document on stdout, when all is known."""

    def __init__(self) -> None:
        self._document: dict[str, Any] = {}
        self._images: list[dict[str, Any]] = []

    def begin(self, classifier: "Classifier", scaling: str, chosen: bool) -> None:  # noqa: ARG002  JSON always names it
        address = classifier.server.address
        self._document = {
            "model": classifier.model.name,
            "version": classifier.version,
            "placeholder": classifier.model.placeholder or None,
            "protocol": address.protocol,
            "url": str(address),
            "scaling": scaling or None,
        }

    def show(self, result: "ImageResult") -> None:
        if result.error:
            self.complain(result.file, result.error)
            self._images.append({"file": result.file, "error": str(result.error)})
            return
        self._images.append({"file": result.file, "classes": as_json(result.classes)})

    def end(self) -> None:
        print(json.dumps(self._document | {"images": self._images}, indent=2), flush=True)


def as_json(classes: "Sequence[Classification]") -> list[dict[str, Any]]:
    """Classes, for JSON, which has no infinity and no NaN."""
    return [
        {"score": item.score if math.isfinite(item.score) else None, "index": item.index, "label": item.label}
        for item in classes
    ]


def one_line(text: str) -> str:
    """A file name or label in one line, without what a terminal would obey."""
    return printable(text).replace("\n", "\\n")


def score_text(score: float) -> str:
    """As C++ writes numbers to strings, and so Triton: six decimals, integers plain."""
    return str(score) if isinstance(score, int) else f"{score:.6f}"
