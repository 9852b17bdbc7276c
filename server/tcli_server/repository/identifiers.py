"""What models are known by: their names, or with namespaces (`--model-namespacing`) `REPOSITORY/NAME`.

A name has no slash, so a text with one is such an identifier.
"""

from collections.abc import Callable, Sequence

from tcli_server.errors import InvalidArgumentError


def identifier(namespace: str, name: str) -> str:
    """The identifier of a model; the namespace is empty where there are none."""
    return f"{namespace}/{name}" if namespace else name


def name_of(known_by: str) -> str:
    """The name in an identifier."""
    return known_by.rpartition("/")[2]


def namespace_of(known_by: str) -> str:
    """The namespace in an identifier, empty where there are none."""
    return known_by.rpartition("/")[0]


def check_name(name: str) -> None:
    """Whether a model can be called so.

    Raises:
        InvalidArgumentError: it cannot be the name of a folder in a repository.
    """
    if not name.strip():
        raise InvalidArgumentError("Model name cannot be empty or consist only of whitespace")
    if name.strip() in (".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise InvalidArgumentError("model name must not contain path traversal characters")
    if len(name.encode(errors="surrogatepass")) > 255:
        raise InvalidArgumentError("model name is longer than the 255 bytes that a folder's name may have")


def candidates(wanted: str, namespace: str, named: Callable[[str], Sequence[str]]) -> Sequence[str]:
    """The identifiers that an ensemble's step may mean: one where it can run, none where the model is missing.

    As in Triton, the model of the ensemble's own repository comes first, then the only one of that name.

    Args:
        wanted: the step's model, with the step's namespace where it has one.
        namespace: the ensemble's own.
        named: the identifiers of a name that are there.
    """
    asked, name = namespace_of(wanted), name_of(wanted)
    there = named(name)
    if asked:
        return [one for one in there if namespace_of(one) in (asked, "")]  # without namespaces it means nothing
    own = identifier(namespace, name)
    return [own] if own in there else there


def ambiguous(name: str, there: Sequence[str]) -> InvalidArgumentError:
    """The error of a name that several repositories have; its beginning is Triton's."""
    return InvalidArgumentError(
        f"There are {len(there)} identifiers of model '{name}' in global map, model namespace must be provided to resolve "
        f"ambiguity; fix: ask for {' or '.join(repr(one) for one in sorted(there))}"
    )
