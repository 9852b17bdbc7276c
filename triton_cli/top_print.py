"""`tcli top` for files, pipes and programs: text or JSON, interval by interval, without anything that a terminal obeys."""

import json as json_module
import math
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from triton_cli.console import fail, out, printable, silence
from triton_cli.top_feed import PATIENCE, Feed, refuse
from triton_cli.top_order import Order, ordered
from triton_cli.top_view import machine_line, notes_of, nothing_shown, table_lines

if TYPE_CHECKING:
    from tcli_client.watch import Activity

_TURN = 0.2
"""Seconds in which a signal is noticed."""


def watch_printed(
    feed: Feed, wanted: Callable[[str], bool], order: Order, *, once: bool, json: bool, stop: threading.Event
) -> None:
    """Print each interval, or one, until stopped or nobody reads.

    Raises:
        typer.Exit: the server does not answer at the beginning.
    """
    from tcli_client import ClientError

    silent = 0.0
    answered = False
    while not stop.is_set():
        found = feed.next(_TURN)
        if found is None:
            silent += _TURN
            if silent > feed.interval + PATIENCE and (once or not answered):
                fail(f"{feed.address} does not come to an end with its answer", "is that a V2 server?")
            continue
        silent = 0.0
        if isinstance(found, ClientError):
            if once or not answered:
                refuse(found)
            text = _problem(str(found), json)
        else:
            answered = True
            shown = replace(found, models=ordered((one for one in found.models if wanted(one.name)), order))
            text = (
                json_module.dumps(_document(shown, str(feed.address)))
                if json
                else _plain(shown, str(feed.address), nothing_shown(found))
            )
        try:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
        except BrokenPipeError:
            silence(out())
            return
        if once:
            return


def _plain(activity: "Activity", address: str, nothing: str) -> str:
    lines = [f"{_now()}  {address}  last {activity.seconds:.3g} s", machine_line(activity.machine)]
    lines += table_lines(activity.models, None) if activity.models else [nothing]
    return "\n".join([*filter(None, lines), *notes_of(activity), ""])


def _problem(problem: str, json: bool) -> str:
    if json:
        return json_module.dumps({"time": _now(), "problem": problem})
    return f"{_now()}  {printable(problem)}\n"


def _document(activity: "Activity", address: str) -> dict[str, Any]:
    document = asdict(activity)
    machine = document.pop("machine")
    seen = {"cpu_utilization": machine.pop("cpu_utilisation"), **machine}
    seen["gpus"] = [
        {"uuid": uuid, "utilization": gpu.pop("utilisation"), **gpu} for uuid, gpu in machine["gpus"].items()
    ]
    models = [{key: _finite(value) for key, value in model.items()} for model in document.pop("models")]
    return {"time": _now(), "url": address, **document, **seen, "models": models}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
