"""The mark that configurations under analysis carry on a server: by it an analysis knows its own, and others see that there is one."""

import json
import os
import platform
import time
import uuid
from dataclasses import asdict, dataclass, field

import psutil
from tritonclient.grpc.model_config_pb2 import ModelConfig

_KEY = "tcli_analysis"
"""Of the configuration's `parameters`: nothing reads it, and every server keeps it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Which analysis a configuration belongs to.

    Attributes:
        since: when the analysis began, for people.
    """

    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    host: str = field(default_factory=platform.node)
    pid: int = field(default_factory=os.getpid)
    since: str = field(default_factory=lambda: time.strftime("%Y-%m-%d %H:%M:%S"))

    @property
    def text(self) -> str:
        """As it is written."""
        return json.dumps(asdict(self))

    @property
    def has_ended(self) -> bool:
        """Whether its process is known to run no more, so that its guardian is about to put things back."""
        return self.host == platform.node() and not psutil.pid_exists(self.pid)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


def marked(config: ModelConfig, mark: Mark) -> ModelConfig:
    """The configuration with the mark."""
    copy = ModelConfig()
    copy.CopyFrom(config)
    copy.parameters[_KEY].string_value = mark.text
    return copy


def unmarked(config: ModelConfig) -> ModelConfig:
    """The configuration without any mark."""
    copy = ModelConfig()
    copy.CopyFrom(config)
    copy.parameters.pop(_KEY, None)
    return copy


def mark_of(config: ModelConfig) -> Mark | None:
    """The mark that it carries."""
    if _KEY not in config.parameters:
        return None
    try:
        return Mark(**json.loads(config.parameters[_KEY].string_value))
    except (TypeError, ValueError):  # of another version of this program
        return Mark("", "an unknown host", 0, "an unknown time")
