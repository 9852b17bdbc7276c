"""What is on disk: model folders, versions, `config.pbtxt`, labels, and whether they are right."""

from tcli_server.repository.autocomplete import complete_config
from tcli_server.repository.config_file import ConfigFile, read_config, read_config_file
from tcli_server.repository.config_rules import config_problems
from tcli_server.repository.config_text import format_config
from tcli_server.repository.labels import read_labels
from tcli_server.repository.layout import CONFIG_FILE, ModelFolder, choose_versions, model_folders
from tcli_server.repository.positions import Positions
from tcli_server.repository.problem import Problem
from tcli_server.repository.signature import signature_problems
from tcli_server.repository.unsupported import unsupported_problems

__all__ = [
    "CONFIG_FILE",
    "ConfigFile",
    "ModelFolder",
    "Positions",
    "Problem",
    "choose_versions",
    "complete_config",
    "config_problems",
    "format_config",
    "model_folders",
    "read_config",
    "read_config_file",
    "read_labels",
    "signature_problems",
    "unsupported_problems",
]
