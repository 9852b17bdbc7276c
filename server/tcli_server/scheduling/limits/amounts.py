"""How much there is of each resource, where the command line says so (`--rate-limit-resource`)."""

from collections.abc import Iterable, Mapping

from tcli_server.errors import InvalidArgumentError

GLOBAL = "global"
CPU = "cpu"
EACH = ""
"""Instead of a device: each of them."""

Key = tuple[str, str]
"""A resource and its device: a GPU's number, `CPU`, `GLOBAL`, or `EACH` in what the command line says."""

_FORM = "NAME:COUNT or NAME:COUNT:DEVICE, the device a GPU's number or 'cpu'"
_MOST = 2**31 - 1


def device_of(gpu: int | None) -> str:
    """The device of an instance."""
    return CPU if gpu is None else str(gpu)


def parse_amounts(texts: Iterable[str]) -> dict[Key, int]:
    """Amounts by resource and device, from `NAME:COUNT[:DEVICE]`. Names keep their case.

    Raises:
        InvalidArgumentError: another form, or the same resource twice for a device.
    """
    amounts: dict[Key, int] = {}
    for text in texts:
        name, count, device = _parse(text)
        if (name, device) in amounts:
            where = f" for device {device}" if device else ""
            raise InvalidArgumentError(
                f"--rate-limit-resource={text[:200]}: '{name}' has an amount{where} already, {amounts[name, device]}; "
                "fix: give one"
            )
        amounts[name, device] = count
    return amounts


def _parse(text: str) -> tuple[str, int, str]:
    name, _, rest = text.partition(":")
    count, colon, device = rest.partition(":")
    is_device = device.lower() == CPU or _is_number(device)
    if not name or not _is_number(count) or bool(colon) != bool(device) or (colon and not is_device):
        raise InvalidArgumentError(f"--rate-limit-resource={text[:200]}: expected {_FORM}")
    return name, int(count), str(int(device)) if _is_number(device) else device.lower()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _MOST


def explicit_amount(amounts: Mapping[Key, int], name: str, device: str) -> int:
    """How much there is on a device by what the command line says; 0 where it does not name the resource."""
    if device == GLOBAL:
        return max((count for (known, _), count in amounts.items() if known == name), default=0)
    own = amounts.get((name, device))
    if own is None and device == CPU:  # Triton's number for the CPU
        own = amounts.get((name, "0"))
    return max(own or 0, amounts.get((name, EACH), 0))
