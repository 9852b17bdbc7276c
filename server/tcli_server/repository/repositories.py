"""The models of one or more repositories, by what they are known by."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tcli_server.repository.identifiers import identifier, name_of, namespace_of
from tcli_server.repository.layout import ModelFolder, find_model, model_folders


class Repositories:
    """Folders of models, and whether each of them is a namespace.

    Args:
        paths: the repositories; the same folder twice, whatever it is called, is one.
        namespacing: a name is known together with its repository's path, so that several may have it.
        config_name: see `ModelFolder`.

    Attributes:
        paths: each of them once.
    """

    def __init__(
        self, paths: Sequence[str | os.PathLike[str]], namespacing: bool = False, config_name: str = ""
    ) -> None:
        self.paths = list({os.path.realpath(path): Path(path) for path in paths}.values())
        self.namespacing = namespacing
        self._namespaces = {str(path): path for path in self.paths if namespacing}
        self._config_name = config_name

    def has(self, known_by: str) -> bool:
        """Whether that is an identifier in one of the namespaces, be there such a model or not."""
        return namespace_of(known_by) in self._namespaces

    def folders(self) -> dict[str, list[ModelFolder]]:
        """Every model by its identifier; without namespaces a name that several repositories have, has several folders.

        Raises:
            NotFoundError, UnsupportedError: as `model_folders`.
        """
        if not self.namespacing:
            return model_folders(self.paths, self._config_name)
        return {
            identifier(namespace, name): [replace(folder, namespace=namespace) for folder in found]
            for namespace, path in self._namespaces.items()
            for name, found in model_folders([path], self._config_name).items()
        }

    def find(self, known_by: str) -> list[ModelFolder]:
        """What `folders` has for one identifier, without looking at all the others."""
        if not self.namespacing:
            return find_model(self.paths, known_by, self._config_name)
        namespace = namespace_of(known_by)
        if namespace not in self._namespaces:
            return []
        found = find_model([self._namespaces[namespace]], name_of(known_by), self._config_name)
        return [replace(folder, namespace=namespace) for folder in found]

    def named(self, name: str) -> list[str]:
        """The identifiers of a name that are there; without namespaces none where several repositories have it."""
        if not self.namespacing:
            return [name] if len(self.find(name)) == 1 else []
        return [one for namespace in self._namespaces if self.find(one := identifier(namespace, name))]

    def new(self, name: str) -> str:
        """What a model that is in no repository is known by: as if it were in the first one."""
        return identifier(next(iter(self._namespaces), ""), name)
