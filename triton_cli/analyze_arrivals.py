"""How the requests of a rate come: `--arrivals` and what belongs to it."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from tcli_analyzer.arrivals import Distribution
    from tcli_analyzer.load.recordings import Recording
    from tcli_analyzer.space import SpaceValues

_WINDOW = re.compile(r"(\d+(?:\.\d+)?)?-(\d+(?:\.\d+)?)?")
_FASTEST = 1000.0


@dataclass(frozen=True)
class Arrivals:
    """What is wanted.

    Attributes:
        gaps_seconds: of a recording; none for a distribution.
        rates: of the recording at the speeds that are wanted, in requests per second.
        speed: of the recording, as it was said.
        said: it was typed, and not just in a file, which may be of other models and loads, too.
    """

    distribution: "Distribution"
    gaps_seconds: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()
    speed: str = ""
    said: bool = False

    def over(self, space: "SpaceValues", finds_rate: bool) -> "SpaceValues":
        """A space with the recording's own rates, where nothing says others; ends the command where it would not be played so.

        Args:
            finds_rate: `--slo` looks for a rate itself.
        """
        if self.said and not self.rates and not finds_rate and space.request_rates is None:
            raise typer.BadParameter(
                f"'{self.distribution.value}' says how the requests of a rate come, and there is no rate; add --request-rates "
                "or --slo",
                param_hint="--arrivals",
            )
        if not self.rates:
            return space
        if finds_rate or space.request_rates is not None:
            if self.speed:
                other = "--slo" if finds_rate else "--request-rates"
                raise typer.BadParameter(
                    f"not with {other}, which says at what rates it is played; leave one of them out",
                    param_hint="--arrivals-speed",
                )
            return space
        if space.concurrency is not None:
            raise typer.BadParameter(
                "a recording is played at rates, and --concurrency has none; leave that out, or add --request-rates",
                param_hint="--arrivals",
            )
        return replace(space, request_rates=self.rates)


def arrivals_of(text: str, speed: str, window: str) -> Arrivals:
    """Read `--arrivals`, `--arrivals-speed` and `--arrivals-window`; empty where nothing was said."""
    from tcli_analyzer.arrivals import Distribution

    if not text or text in list(Distribution):
        for given, option in ((speed, "--arrivals-speed"), (window, "--arrivals-window")):
            if given:
                raise typer.BadParameter("needs a file of recorded arrivals: --arrivals FILE", param_hint=option)
        return Arrivals(Distribution(text or Distribution.POISSON))
    speeds = _speeds(speed) if speed else (1.0,)
    recording = _recording(text, window)
    rates = tuple(round(recording.rate * each, 6) for each in speeds)
    return Arrivals(Distribution.POISSON, recording.gaps_seconds, rates, speed)


def _recording(text: str, window: str) -> "Recording":
    from tcli_analyzer.load.recordings import ArrivalsError, read_arrivals

    path = Path(text)
    if not path.exists():
        raise typer.BadParameter(
            f"'{text}': expected poisson, constant, or a file of recorded arrivals", param_hint="--arrivals"
        )
    try:
        recording = read_arrivals(path)
    except ArrivalsError as error:
        raise typer.BadParameter(str(error), param_hint="--arrivals") from None
    if not window:
        return recording
    begin, end = _window(window)
    try:
        return recording.window(begin, end)
    except ArrivalsError as error:
        raise typer.BadParameter(str(error), param_hint="--arrivals-window") from None


def _window(text: str) -> tuple[float, float | None]:
    match = _WINDOW.fullmatch(text.strip())
    begin, end = (float(match[1] or 0), float(match[2]) if match[2] else None) if match else (0.0, -1.0)
    if end is not None and end <= begin:
        raise typer.BadParameter(
            f"'{text}': expected seconds from its first request, such as 0-60 or 30-", param_hint="--arrivals-window"
        )
    return begin, end


def _speeds(text: str) -> tuple[float, ...]:
    try:
        found = tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        found = ()
    if not found or not all(0 < each <= _FASTEST for each in found):
        raise typer.BadParameter(
            f"'{text}': expected numbers above 0, at most {_FASTEST:g}, such as 0.5,1,2", param_hint="--arrivals-speed"
        )
    return found
