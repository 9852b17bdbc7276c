"""How the models of a backend look outside of a repository, where their files may have any names."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """By what a model is recognised that is to be added to a repository, beside the names of its files there.

    Attributes:
        title: `an ONNX file with ONNX Runtime`: what it is, and what runs it.
        endings: of its files, beside those that they have in a repository.
        reads: endings of files that it runs too where it is asked to, but that are another backend's by themselves.
        mark: a regular expression for how such a file begins, whatever it is called.
        contains: what a file has somewhere in it if it is such a model, for endings that others have too.
        members: a folder that has one of these is such a model as a whole.
        parts: what belongs to such a folder, as patterns of paths in it, where other files may lie there too.
        takes_folder: the other files of the model's folder belong to it.
        handling: `package.module:Class` of its `Handling`, quick to import; empty for the plain one.
    """

    title: str = ""
    endings: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    mark: bytes = b""
    contains: bytes = b""
    members: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    takes_folder: bool = False
    handling: str = ""
