"""A model's folder on its way to being loaded. Loading and `tcli repo check` judge by this same code."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Backend, BackendKind, Host, Instance, Placement, Surroundings
from tcli_server.backends.complaint import Complaint
from tcli_server.backends.registry import BrokenBackendError, available, backend, installation, kind_of, names
from tcli_server.errors import ConfigError, InvalidArgumentError, NotFoundError
from tcli_server.models import missing
from tcli_server.models.choose_backend import infer_backend, name_backend
from tcli_server.models.placement import complete_instance_groups, placement_complaints, placements
from tcli_server.observability.log import LOG
from tcli_server.repository import (
    ModelFolder,
    Positions,
    Problem,
    choose_versions,
    complete_config,
    config_problems,
    path_fault,
    rate_limit_problems,
    read_config_file,
    read_labels,
    signature_problems,
    unsupported_problems,
)
from tcli_server.repository.checksums import Verified, verify_checksums
from tcli_server.repository.ensemble_rules import ENSEMBLE
from tcli_server.repository.entries import is_file, is_folder, is_there
from tcli_server.spec import read_spec, scalars

BackendConfig = Mapping[str, Mapping[str, str]]
"""`--backend-config`: backend name, empty for all -> setting -> value."""

BACKEND_DIRECTORY = "backend-directory"
"""The setting, for all backends, of the folder in which there are more of them."""

_DEFAULT_MAX_BATCH_SIZE = "default-max-batch-size"


class Draft:
    """A configuration, read and judged as far as that goes without opening the model.

    Args:
        override: replaces the configuration file.
        auto_complete: fill what the configuration leaves out.
        settings: of the backends, by their names; those without a name are for all.
        host: the server, for models that are programs of their own.

    Attributes:
        is_ensemble: it is made of other models, and has no file and no instances.
        config: backend, platform, file name and instance groups completed where that was possible.
        given: the configuration as it was given, to tell whether another one differs.
        problems: everything that is wrong; nothing must be served while there is any.
        malformed: whether the configuration alone is wrong, whatever model and machine it is for.
        versions: those that the version policy chooses, ascending.
        backend: None only if there are problems.
        placements: where its instances are to run, none if there are problems.
    """

    def __init__(
        self,
        folder: ModelFolder,
        override: ModelConfig | None = None,
        auto_complete: bool = True,
        settings: BackendConfig | None = None,
        host: Host | None = None,
    ) -> None:
        self.folder = folder
        self.problems: list[Problem] = []
        self.config = ModelConfig()
        self.backend: Backend | None = None
        self.placements: list[Placement] = []
        self._overridden = override is not None
        self._auto_complete = auto_complete
        self._settings = settings or {}
        self._host = host
        self._by_model: dict[int, ModelConfig] = {}
        self._completing = threading.Lock()
        self._positions: Positions | None = None
        self._verified = Verified([], {})
        self._read(override)
        self.given = ModelConfig()
        self.given.CopyFrom(self.config)
        self.versions: list[int] = []
        self._find_versions()
        self._add(config_problems(self.config, folder, self._positions))
        self.malformed = bool(self.problems)
        self.is_ensemble = self.config.platform == ENSEMBLE
        if self.is_ensemble:
            self._judge_ensemble()
        elif self._choose_backend():
            self._judge_by_backend()

    def line(self, field: str) -> int | None:
        """The line of a field in the configuration file, where there is one."""
        return (self._positions.line(field) or 1) if self._positions is not None else None

    def verify(self) -> None:
        """Add a problem for each file that has not the checksum that the configuration gives; reads those files."""
        if self.malformed:  # the checksums may be what is not understood
            return
        self._verified = verify_checksums(self.config, self.folder, self._positions)
        self._add(self._verified.problems)

    def confirm(self) -> None:
        """Whether what was loaded is what was verified.

        Raises:
            InvalidArgumentError: a file with a checksum was changed in between.
        """
        changed = self._verified.changed()
        if changed:
            raise InvalidArgumentError(
                f"{changed[0]} was changed after its checksum was compared, while the model was being loaded; fix: load "
                "it again when nobody writes there"
            )

    def labels(self) -> dict[str, list[str]]:
        """Class names by output.

        Raises:
            InvalidArgumentError: a label file cannot be read.
        """
        return {
            output.name: read_labels(self.folder.path / output.label_filename)
            for output in self.config.output
            if output.label_filename
        }

    def model_file(self, version: int) -> Path:
        """The model file of a version, or the code that runs it without one.

        Raises:
            InvalidArgumentError: it is not there, or is no file.
        """
        if self.backend is not None and self.backend.code is not None:
            return self.backend.code
        name: str = self.config.default_model_filename
        path = self.folder.version_path(version) / name
        if is_folder(path):
            if self.backend is not None and self.backend.kind.is_folder:
                return path
            path = path / name  # a folder holds the model with its external data
        if not is_there(path):
            raise InvalidArgumentError(
                f"model file not found in '{path}': version {version} of model '{self.folder.name}' has no "
                f"file '{name}' "
                "(default_model_filename sets another name)"
            )
        if not is_file(path):  # opening a FIFO would wait for ever
            raise InvalidArgumentError(f"{path} is not a regular file: put the model file there")
        return path

    def try_version(self, version: int) -> None:
        """Open a version and close it again, for the problems that only this shows; those of the configuration are added.

        Raises:
            ServerError: the model cannot be opened.
        """
        has_file = self.backend is not None and self.backend.code is None
        if has_file and path_fault(self.config.default_model_filename):  # told already
            return
        if self.backend is not None and self.backend.only_on_gpu and not self.placements:  # told already
            return
        places = self.placements or [Placement(self.folder.name, None, 1)]
        try:
            instance, _ = self.open(version, places[0])
        except ConfigError as error:
            doubts = self._positions.doubts if self._positions is not None else lambda _: False
            self._add(problem for problem in error.problems if not doubts(problem.field))
        else:
            close_instance(instance)

    def open(self, version: int, placement: Placement) -> tuple[Instance, ModelConfig]:
        """Open one instance of a version, and complete the configuration by what the model takes and gives.

        Raises:
            ConfigError: the configuration and the model contradict each other.
            ServerError: the model cannot be opened, or fails on a warm-up sample.
        """
        assert self.backend is not None
        file = self.model_file(version)
        settings = self._settings.get(self._owner(self.backend), {})
        where = self.folder.version_path(version)
        surroundings = Surroundings(self.folder.path, version, settings, self._host, where)
        with self._completing:  # instances are opened side by side
            config = self._completed_by_model(version, file, surroundings)
        instance = self.backend.open(config, file, placement, surroundings)
        try:
            config = self._complete(config, instance)
            if config.model_warmup:
                from tcli_server.models.warmup import warm_up

                warm_up(config, read_spec(config, version, {}, scalars(instance.signature)), self.folder.path, instance)
            return instance, config
        except BaseException:
            close_instance(instance)
            raise

    def rate_limit_problems(self) -> list[Problem]:
        """What is wrong with resources, which counts only where runs are limited."""
        found = rate_limit_problems(self.config, self.folder, self._positions)
        return [self._placed(problem) for problem in found]

    # --- reading and judging ---

    def _read(self, override: ModelConfig | None) -> None:
        path = self.folder.config_path
        if override is not None:
            self.config.CopyFrom(override)
        elif self.folder.has_config:
            file = read_config_file(path)
            self.config, self._positions = file.config, file.positions
            self._add(file.problems)
        elif not self._auto_complete:
            fix = "write one, or start without --disable-auto-complete-config"
            self._add([Problem(path, None, "", "no such file", "a configuration, as auto-completion is off", fix)])

    def _find_versions(self) -> None:
        try:
            self.versions = choose_versions(self.config.version_policy, self.folder.versions())
        except NotFoundError as error:  # it vanished meanwhile, or is not ours to read
            fix = "put it back, or let the server's user read it"
            self._add([Problem(self.folder.path, None, "", str(error), "a folder that can be read", fix)])

    def _add(self, problems: Iterable[Problem]) -> None:
        """Add problems, but only one kind of complaint about a field: what is wrong in form is said first."""
        known = {(problem.file, problem.field) for problem in self.problems if problem.field}
        self.problems += [
            problem
            for problem in map(self._placed, problems)
            if problem not in self.problems and (problem.file, problem.field) not in known
        ]

    def _placed(self, problem: Problem) -> Problem:
        """A problem of the file is one of the request where the configuration came with it."""
        if self._overridden and problem.file == self.folder.config_path:
            return replace(problem, file=None, line=None)
        return problem

    def _complain(self, complaints: Iterable[Complaint]) -> None:
        path = self.folder.config_path
        self._add(Problem(path, self.line(complaint.field), *complaint) for complaint in complaints)

    def _choose_backend(self) -> bool:
        """Find the backend; False where this server has none for the model."""
        try:
            if self._auto_complete:
                infer_backend(self.config, self.folder)
            else:
                name_backend(self.config, self.folder)
        except NotFoundError:  # told already: the folder cannot be read
            return False
        except InvalidArgumentError as error:
            self._judge_fields()
            if not self.problems:  # else what was misread may be the reason
                wrong = missing.wrong_field(self.config, self.folder)
                if wrong is not None:
                    self._complain([wrong])
                else:
                    self._add([missing.no_version(self.folder) or missing.no_model(self.folder, str(error))])
            return False
        directory = self._settings.get("", {}).get(BACKEND_DIRECTORY, "")
        try:
            self.backend = backend(self.config.backend, self.config.runtime, directory)
        except BrokenBackendError as error:
            self._name_backend(f"which does not load here: {error.reason}", "a backend that loads", error.fix)
            return False
        except InvalidArgumentError:
            self._unsupported_backend(names(directory))
            return False
        return True

    def _judge_fields(self) -> None:
        fields = self.backend.kind.fields if self.backend is not None else ()
        unsupported = unsupported_problems(self.config, self.folder, self._positions, fields)
        self.malformed = self.malformed or bool(unsupported)
        self._add(unsupported)

    def _judge_ensemble(self) -> None:
        self.config.name = self.config.name or self.folder.name
        self._judge_fields()
        if not self.versions:
            self._add([missing.no_version(self.folder) or missing.no_chosen_version(self.folder)])
        _write_defaults(self.config)

    def _judge_by_backend(self) -> None:
        assert self.backend is not None
        self._judge_fields()
        self._check_platform(self.backend.kind)
        self._check_runtime(self.backend.kind)
        if not self.versions:
            self._add([missing.no_version(self.folder) or missing.no_chosen_version(self.folder)])
        try:
            self._ask(self.backend)
        except Exception as error:  # a backend of a package harms no other model
            LOG.debug("the backend '%s' fails on '%s'", self.backend.kind.name, self.folder.name, exc_info=True)
            found = f"the backend '{self.backend.kind.name}' fails on it: {type(error).__name__}: {error}"
            fix = "correct what its message names, or report it to those who make the backend"
            self._add([Problem(self.folder.path, None, "", found, "a model that its backend can judge", fix)])

    def _ask(self, judge: Backend) -> None:
        self._complain(judge.complaints(self.config))
        if self.problems:  # thread counts, for example, that are no numbers
            return
        complete_instance_groups(self.config, judge)
        self._complain(placement_complaints(self.config, judge))
        if not self.problems:
            self.placements = placements(self.config)

    def _unsupported_backend(self, there: Sequence[str]) -> None:
        """Say which field or file asks for a backend that this server does not have."""
        kind = kind_of(self.config.backend)
        fix = installation(kind) if kind is not None else ""
        expected = f"{' or '.join(there)}: {'what is installed' if fix else 'tcli does not support anything else yet'}"
        fix = fix or "serve this model with NVIDIA Triton, or export it as {}".format(
            " or ".join(kind.model_file for kind in available() if kind.model_file)
        )
        self._name_backend("", expected, fix)

    def _name_backend(self, what: str, expected: str, fix: str) -> None:
        """A problem with the backend itself, at the field that asks for it, or at the file that does.

        Args:
            what: follows its name; may be empty.
        """
        what = what and f", {what}"
        for field, given in (("backend", self.given.backend), ("platform", self.given.platform)):
            if given:
                self._complain([Complaint(field, f"'{given}'{what}", expected, fix)])
                return
        found = f"{self.config.default_model_filename}, a model for the backend '{self.config.backend}'{what}"
        self._add([Problem(self.folder.path, None, "", found, expected, fix)])

    def _check_platform(self, kind: BackendKind) -> None:
        if self.given.backend and self.given.platform and self.given.platform not in kind.platforms:
            self._complain(
                [
                    Complaint(
                        "platform",
                        f"'{self.given.platform}' with backend '{kind.name}'",
                        f"'{kind.platform}'",
                        f'write platform: "{kind.platform}", or leave one of the two fields out',
                    )
                ]
            )

    def _check_runtime(self, kind: BackendKind) -> None:
        if self.config.runtime and self.config.runtime != kind.library:
            expected = f"'{kind.library}', which is what runs models of the backend '{kind.name}' here"
            self._complain([Complaint("runtime", f"'{self.config.runtime}'", expected, "leave it out")])
        self.config.runtime = self.config.runtime or kind.runtime

    # --- completing ---

    def _owner(self, chosen: Backend) -> str:
        """Whose settings count for a backend: its own, or those of the one that runs its code."""
        if chosen.code is None or chosen.kind.name in self._settings:
            return chosen.kind.name
        return next(kind.name for kind in available() if kind.model_file == chosen.kind.model_file)

    def _default_max_batch_size(self, chosen: Backend) -> int:
        for owner in (chosen.kind.name, ""):
            text = self._settings.get(owner, {}).get(_DEFAULT_MAX_BATCH_SIZE)
            if text is not None:
                return _whole_number(owner, text)
        return chosen.default_max_batch_size

    def _completed_by_model(self, version: int, file: Path, surroundings: Surroundings) -> ModelConfig:
        """The configuration with what the model itself says, once for all instances of a version."""
        assert self.backend is not None
        known = self._by_model.get(version)
        if known is not None:
            return known
        config = ModelConfig()
        config.CopyFrom(self.config)
        if self._auto_complete:
            self.backend.complete(config, file, surroundings)
            if config != self.config:
                problems = [
                    *config_problems(config, self.folder, self._positions),
                    *unsupported_problems(config, self.folder, self._positions, self.backend.kind.fields),
                ]
                if problems:
                    raise ConfigError([self._placed(problem) for problem in problems])
                _write_defaults(config)
        self._by_model[version] = config
        return config

    def _complete(self, given: ModelConfig, instance: Instance) -> ModelConfig:
        try:
            return self._completed(given, instance)
        except ConfigError as error:
            raise ConfigError([self._placed(problem) for problem in error.problems]) from None

    def _completed(self, given: ModelConfig, instance: Instance) -> ModelConfig:
        assert self.backend is not None
        config = ModelConfig()
        config.CopyFrom(given)
        if instance.signature is not None:
            if self._auto_complete:
                default = self._default_max_batch_size(self.backend)
                complete_config(config, self.folder, instance.signature, default, self._positions)
            problems = signature_problems(config, instance.signature, self.folder, self._positions)
            if problems:
                raise ConfigError(problems)
        _write_defaults(config)
        return config


def close_instance(instance: Instance) -> None:
    """Give back an instance that does not serve; one that cannot be closed harms nobody else."""
    try:
        instance.close()
    except Exception:
        LOG.exception("an instance could not be closed")


def check_settings(settings: BackendConfig) -> None:
    """Whether backends can be told these settings.

    Raises:
        InvalidArgumentError: a value is not what its setting takes.
    """
    for owner, values in settings.items():
        if _DEFAULT_MAX_BATCH_SIZE in values:
            _whole_number(owner, values[_DEFAULT_MAX_BATCH_SIZE])


def _whole_number(owner: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidArgumentError(
            f"--backend-config={owner}{',' if owner else ''}{_DEFAULT_MAX_BATCH_SIZE}={text[:64]}: expected a whole "
            "number, for example 4"
        )
    return int(text)


def _write_defaults(config: ModelConfig) -> None:
    """Write down what Triton shows for what was left out: version policy, batch sizes, pinned memory."""
    if not config.version_policy.WhichOneof("policy_choice"):
        config.version_policy.latest.num_versions = 1
    for name in ("input_pinned_memory", "output_pinned_memory"):
        if not config.optimization.HasField(name):
            getattr(config.optimization, name).enable = True
    if config.HasField("dynamic_batching") and not config.dynamic_batching.preferred_batch_size:
        config.dynamic_batching.preferred_batch_size.append(max(1, config.max_batch_size))
    if config.HasField("sequence_batching"):
        sequences = config.sequence_batching
        sequences.max_sequence_idle_microseconds = sequences.max_sequence_idle_microseconds or 1_000_000
        if sequences.HasField("oldest") and not sequences.oldest.preferred_batch_size:
            sequences.oldest.preferred_batch_size.append(max(1, config.max_batch_size))
