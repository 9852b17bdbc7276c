"""What a backend has against a configuration, the values of parameters above all."""

import difflib
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tritonclient.grpc.model_config_pb2 import ModelConfig

_PREFIX = "tcli_"
"""How parameters begin that are for this toolkit and not for a backend."""


class Complaint(NamedTuple):
    """Something in a configuration that a backend cannot do: field, what was found and expected, and the fix."""

    field: str
    found: str
    expected: str
    fix: str


class Rule(NamedTuple):
    """What a parameter takes.

    Attributes:
        expected: in words.
        example: a value that fits.
        fits: whether a value does.
    """

    expected: str
    example: str
    fits: Callable[[str], bool]


SWITCH = Rule("true or false", "true", lambda value: value.lower() in ("true", "false", "1", "0"))


_IMAGE = "scaling resize resize_to height width interpolation color_format scale mean std"
_OURS = dict.fromkeys(
    ("tcli_placeholder", *(f"tcli_image_{key}" for key in _IMAGE.split())), Rule("", "", lambda _: True)
)
"""Every parameter of this toolkit's own; whoever reads one judges its value."""


def count(expected: str, most: int = 1 << 16, least: int = 0) -> Rule:
    """A whole number from `least` to `most`."""

    def fits(value: str) -> bool:
        return value.isascii() and value.isdigit() and len(value) < 20 and least <= int(value) <= most

    return Rule(expected, str(max(1, least)), fits)


def choice(*values: str) -> Rule:
    """One of these."""
    return Rule(" or ".join(values), values[0], lambda value: value in values)


def is_on(value: str) -> bool:
    """What a value of `SWITCH` says."""
    return value.lower() in ("true", "1")


def parameter_complaints(config: ModelConfig, known: Mapping[str, Rule], backend: str) -> list[Complaint]:
    """Parameters that a backend does not know, or whose values it does not take.

    Args:
        known: by name.
        backend: its name, for the texts.
    """
    values = {key: one.string_value for key, one in config.parameters.items()}
    ours = {key: value for key, value in values.items() if key.startswith(_PREFIX)}
    others = {key: value for key, value in values.items() if key not in ours}
    written = 'value {{ string_value: "{}" }}'
    return [
        *option_complaints("parameters", others, known, f"a parameter of the backend '{backend}'", written),
        *option_complaints("parameters", ours, _OURS, "a parameter of tcli", written),
    ]


def option_complaints(
    field: str, values: Mapping[str, str], known: Mapping[str, Rule], whose: str, written: str = 'value: "{}"'
) -> list[Complaint]:
    """Options that are not known, or whose values do not fit.

    Args:
        field: the map that holds them.
        known: by name; a rule without an example is of what cannot be had.
        whose: `a parameter of the backend 'NAME'`.
        written: how a value is written in the configuration.
    """
    found = []
    for key, value in values.items():
        path = f'{field}["{key}"]'
        rule = known.get(key)
        if rule is None:
            expected = whose + (f": {', '.join(sorted(known))}" if known else ", which has none")
            near = difflib.get_close_matches(key.lower(), [name.lower() for name in known], 1)
            name = next((name for name in known if near and name.lower() == near[0]), "")
            found.append(
                Complaint(path, f"'{key}'", expected, f'write "{name}", or remove it' if name else "remove it")
            )
        elif not rule.fits(value):
            fix = f"write {written.format(rule.example)}, or remove it" if rule.example else "remove it"
            found.append(Complaint(path, f"'{value}'", rule.expected, fix))
    return found
