"""What is on disk: model folders, versions, `config.pbtxt`, labels, and whether they are right."""

from tcli_server.repository.autocomplete import complete_config
from tcli_server.repository.config_file import ConfigFile, read_config, read_config_file
from tcli_server.repository.config_rules import config_problems
from tcli_server.repository.config_text import format_config
from tcli_server.repository.labels import read_labels
from tcli_server.repository.layout import (
    CONFIG_FILE,
    INITIAL_STATE_FOLDER,
    WARMUP_FOLDER,
    ModelFolder,
    choose_versions,
    model_folders,
)
from tcli_server.repository.path_rules import path_fault
from tcli_server.repository.positions import Positions
from tcli_server.repository.problem import Edit, Problem, apply_edits
from tcli_server.repository.rate_limit_rules import rate_limit_problems
from tcli_server.repository.signature import signature_problems
from tcli_server.repository.unsupported import unsupported_problems

__all__ = [
    "CONFIG_FILE",
    "INITIAL_STATE_FOLDER",
    "WARMUP_FOLDER",
    "ConfigFile",
    "Edit",
    "ModelFolder",
    "Positions",
    "Problem",
    "apply_edits",
    "choose_versions",
    "complete_config",
    "config_problems",
    "format_config",
    "model_folders",
    "path_fault",
    "rate_limit_problems",
    "read_config",
    "read_config_file",
    "read_labels",
    "signature_problems",
    "unsupported_problems",
]
