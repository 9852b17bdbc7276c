"""What the options of `tcli analyze` and its file mean together: the command line goes before the file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from triton_cli.analyze_arrivals import arrivals_of
from triton_cli.console import EXIT_WRONG, fail

if TYPE_CHECKING:
    from tcli_analyzer.options import AnalysisOptions, RemoteServer
    from tcli_analyzer.rate.slo import Slo
    from tcli_analyzer.space import SpaceValues
    from tcli_analyzer.space.file import AnalysisFile, ModelEntry

JOURNAL = "journal.jsonl"
"""Of an output folder, the file that keeps every measurement."""

_SEARCH_SHARE, _FINALS_SHARE, _PATIENCE_SHARE = 0.5, 0.4, 0.2
"""Of the time that is allowed; the rest is loading, examining and comparing answers."""

_RATE_SHARE = 0.5
"""Of the time of search and finals, where a rate is looked for: that decides then."""

_USUAL_TIE, _USUAL_INTERVAL = 2.0, 500.0
"""Percent, and milliseconds."""

_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?")
_SECONDS = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}


@dataclass(frozen=True)
class Asked:
    """The options as they were typed; empty and None where nothing was.

    Attributes:
        arrivals: how they come; of a file, how fast, and from when to when.
        spaces: texts of the dimensions, by the option's name with underscores.
        server: address, protocol, and whether nothing is changed.
        also: PNG, Markdown and Parquet.
    """

    model: str
    repositories: tuple[Path, ...]
    spaces: Mapping[str, str]
    objective: str
    latency_budget: float | None
    slo: str
    tolerance: float | None
    tie_percent: float | None
    search: str
    max_time: str
    arrivals: tuple[str, str, str]
    shapes: tuple[str, ...]
    inputs: tuple[str, ...]
    server: tuple[str | None, str, bool]
    interval_ms: float | None
    seed: int | None
    memory_mib: int | None
    output: Path | None
    resume: bool
    also: tuple[bool, bool, bool]


class Settled(NamedTuple):
    """What is to be done.

    Attributes:
        folder: for the results.
        notes: what the user should know of the file.
        also: PNG, Markdown and Parquet: whether they are written.
    """

    options: "AnalysisOptions"
    folder: Path
    notes: list[str]
    also: tuple[bool, bool, bool]


def settle(asked: Asked, path: Path | None) -> Settled:
    """What command line and file mean together; ends the command where that makes no sense."""
    from tcli_analyzer.goal import Goal, Objective
    from tcli_analyzer.options import AnalysisOptions, SearchKind

    file, notes = _file(path)
    server = _server(asked, file)
    repositories = asked.repositories or (file.model_repository if file else ()) or (Path("model_repository"),)
    name = asked.model or _model_of(file) or _ask_for_model(repositories, server is not None)
    entry = next((one for one in file.models if one.name == name), None) if file else None
    folder = asked.output or (file.output if file else None) or Path("analysis") / name
    objective = asked.objective or _said(entry, file, "objective") or "throughput"
    budget = asked.latency_budget if asked.latency_budget is not None else _said(entry, file, "latency_budget")
    search = asked.search or (file.search if file else None) or "quick"
    _check(objective in list(Objective), f"'{objective}': expected throughput or latency", "--objective")
    _check(search in list(SearchKind), f"'{search}': expected quick, grid or optuna", "--search")
    _check(budget is None or budget > 0, f"{budget}: expected milliseconds above 0", "--latency-budget")
    tolerance = asked.tolerance if asked.tolerance is not None else file.tolerance if file else None
    _check(tolerance is None or 0 <= tolerance < 1e9, f"{tolerance}: expected a number of at least 0", "--tolerance")
    tie = _first(asked.tie_percent, file.tie if file else None, _USUAL_TIE)
    _check(0 < tie < 100, f"{tie:g}: expected more than 0 and below 100", "--tie")
    interval = _first(asked.interval_ms, file.measurement_interval if file else None, _USUAL_INTERVAL)
    _check(
        0 < interval <= 600_000,
        f"{interval:g}: expected milliseconds above 0, at most 600,000",
        "--measurement-interval",
    )
    memory = asked.memory_mib if asked.memory_mib is not None else file.memory_limit if file else None
    seconds = _duration(asked.max_time) if asked.max_time else file.max_time if file else None
    slo_text = asked.slo or _said(entry, file, "slo") or ""
    arrivals = replace(arrivals_of(*_arrivals(asked, file)), said=bool(asked.arrivals[0]))
    space = arrivals.over(_space(asked, file, name), bool(slo_text))
    options = AnalysisOptions(
        model=name,
        repositories=() if server is not None else repositories,
        space=space,
        goal=Goal(Objective(objective), budget),
        search=SearchKind(search),
        slo=_slo(slo_text) if slo_text else None,
        distribution=arrivals.distribution,
        gaps_seconds=arrivals.gaps_seconds,
        window_seconds=interval / 1e3,
        tie=tie / 100,
        shapes=_shapes(asked.shapes) or (entry.shape if entry and entry.shape else file.shape if file else {}),
        inputs=asked.inputs or (entry.input if entry and entry.input else file.input if file else ()),
        tolerance=tolerance,
        seed=asked.seed if asked.seed is not None else (file.seed if file else None) or 0,
        memory=memory << 20 if memory is not None else None,
        journal=folder / JOURNAL,
        resume=asked.resume,
        server=server,
        **(_times(seconds, bool(slo_text)) if seconds else {}),
    )
    return Settled(options, folder, notes, _also(asked, file))


def _first(typed: float | None, said: float | None, usual: float) -> float:
    """The command line goes before the file."""
    return typed if typed is not None else said if said is not None else usual


def _also(asked: Asked, file: "AnalysisFile | None") -> tuple[bool, bool, bool]:
    png, markdown, parquet = asked.also
    if file is None:
        return asked.also
    return png or bool(file.png), markdown or bool(file.markdown), parquet or bool(file.parquet)


def _arrivals(asked: Asked, file: "AnalysisFile | None") -> tuple[str, str, str]:
    """A file's speed and window are of the file's arrivals: others that are typed are played as that says."""
    text, speed, window = asked.arrivals
    if file is not None and not text:
        text = file.arrivals or ""
        speed, window = speed or ",".join(file.arrivals_speed), window or file.arrivals_window or ""
    return text, speed, window


def _times(seconds: float, with_rates: bool) -> dict[str, Any]:
    usual = 60.0
    rates = _RATE_SHARE * (_SEARCH_SHARE + _FINALS_SHARE) if with_rates else 0.0
    left = 1 - _RATE_SHARE if with_rates else 1.0
    return {
        "most_seconds": seconds,
        "search_seconds": left * _SEARCH_SHARE * seconds,
        "finals_seconds": left * _FINALS_SHARE * seconds,
        "rate_seconds": rates * seconds,
        "patience_seconds": min(usual, _PATIENCE_SHARE * seconds),
    }


def _check(holds: bool, message: str, option: str) -> None:
    if not holds:
        raise typer.BadParameter(message, param_hint=option)


def _file(path: Path | None) -> tuple["AnalysisFile | None", list[str]]:
    if path is None:
        return None, []
    from tcli_analyzer.space.file import YamlFileError, read_analysis_file

    try:
        file = read_analysis_file(path)
    except YamlFileError as error:
        fail(str(error), status=EXIT_WRONG)
    return file, [f"{path}: {file.not_used_sentence}"] if file.not_used else []


def _said(entry: "ModelEntry | None", file: "AnalysisFile | None", name: str) -> Any:
    """What the file says for this model, or else for all."""
    own = getattr(entry, name) if entry is not None else None
    return own if own is not None else getattr(file, name) if file is not None else None


def _model_of(file: "AnalysisFile | None") -> str:
    """The first; several are analyzed together, each with its own settings."""
    return file.models[0].name if file is not None and file.models else ""


def _ask_for_model(repositories: tuple[Path, ...], on_server: bool) -> str:
    from tcli_server.errors import ServerError
    from tcli_server.repository import model_folders

    if on_server:
        raise typer.BadParameter(
            "say which model of the server; tcli model list --url ... names them", param_hint="--model"
        )
    try:
        names = ", ".join(sorted(model_folders(repositories))) or "none"
    except ServerError as error:
        fail(str(error), "create one with: tcli repo init, or name one with --model-repository")
    places = ", ".join(map(str, repositories))
    raise typer.BadParameter(f"say which model; models in {places}: {names}", param_hint="--model")


def _server(asked: Asked, file: "AnalysisFile | None") -> "RemoteServer | None":
    from tcli_analyzer.options import RemoteServer
    from tcli_client.address import Protocol, parse_address
    from tcli_client.errors import UrlError

    url, protocol, as_is = asked.server
    _check(url != "", "expected an address such as localhost:8000", "--url")
    url = url or (file.url if file else None) or ""
    protocol = protocol or (file.protocol if file else None) or ""
    as_is = as_is or bool(file and file.as_is)
    _check(protocol in ("", "http", "grpc"), f"'{protocol}': expected http or grpc", "--protocol")
    if not url:
        _check(not as_is, "needs a server: --url", "--as-is")
        _check(not protocol, "needs a server: --url", "--protocol")
        return None
    wire: Protocol | None = "grpc" if protocol == "grpc" else "http" if protocol == "http" else None
    try:
        parse_address(url, wire)
    except UrlError as error:
        raise typer.BadParameter(str(error), param_hint="--url") from None
    return RemoteServer(url, wire, as_is)


def _space(asked: Asked, file: "AnalysisFile | None", name: str) -> "SpaceValues":
    from tcli_analyzer.space import SpaceValues

    try:
        typed = SpaceValues.of_options(**asked.spaces)
    except ValueError as error:
        option, _, message = str(error).partition(" ")
        raise typer.BadParameter(message, param_hint=option) from None
    return typed.over(file.space_of(name)) if file is not None else typed


def _shapes(texts: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    from triton_cli.perf_options import OptionError
    from triton_cli.perf_settings import shapes_of

    try:
        return shapes_of(texts)
    except OptionError as error:
        raise typer.BadParameter(str(error).removeprefix("--shape: "), param_hint="--shape") from None


def _slo(text: str) -> "Slo":
    from tcli_analyzer.rate.slo import SloError, parse_slo

    try:
        return parse_slo(text)
    except SloError as error:
        raise typer.BadParameter(str(error), param_hint="--slo") from None


def _duration(text: str) -> float:
    match = _TIME.fullmatch(text.strip())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    _check(0 < seconds <= 7 * 86400, f"'{text}': expected a time such as 90s, 10m or 1h", "--max-time")
    return seconds
