"""`tcli top` on a terminal: the whole screen, drawn anew with every sample, key and change of its size."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from triton_cli.console import out
from triton_cli.tables import one_line
from triton_cli.top_feed import PATIENCE, Feed, refuse
from triton_cli.top_keys import DOWN, UP, keyboard
from triton_cli.top_order import Order, key_of, ordered
from triton_cli.top_view import columns_of, machine_line, notes_of, nothing_shown, table_lines

if TYPE_CHECKING:
    from rich.text import Text

    from tcli_client.watch import Activity

_TURN = 0.1
_LEAST_ROWS = 4
"""Of the table, before notes may take room from it."""
_ORDERS = {key_of(order): order for order in Order}


@dataclass
class Screen:
    """What is to be drawn.

    Attributes:
        heard: when something came last, by `time.monotonic()`.
    """

    address: str
    interval: float
    order: Order
    wanted: Callable[[str], bool]
    heard: float
    activity: "Activity | None" = None
    problem: str = ""
    first: int = 0

    def press(self, key: str) -> None:
        """Sort or scroll."""
        if key in _ORDERS:
            self.order, self.first = _ORDERS[key], 0
        elif key == DOWN:
            self.first += 1
        elif key == UP:
            self.first = max(0, self.first - 1)

    def drawn(self, width: int, height: int) -> "Text":
        """For a terminal of this size; no line is longer, and there are no more lines."""
        from rich.text import Text

        head = [f"{self.address}  every {self.interval:g} s  {datetime.now().astimezone():%H:%M:%S}"]
        foot = [f"q quit  sort: {self.order} ({' '.join(_ORDERS)})  arrows: scroll"]
        silent = time.monotonic() - self.heard
        if self.problem:
            head.append(f"no answer: {one_line(self.problem)}")
        elif silent > self.interval + PATIENCE:
            head.append(f"no answer for {silent:.0f} s")
        body: list[str] = []
        if self.activity is not None:
            head.append(machine_line(self.activity.machine))
            notes = notes_of(self.activity)
            if len(head) + len(notes) + len(foot) + _LEAST_ROWS <= height:
                foot = [*notes, *foot]
            models = ordered((one for one in self.activity.models if self.wanted(one.name)), self.order)
            room = max(1, height - len(head) - len(foot) - 2)
            self.first = max(0, min(self.first, len(models) - room))
            body = (
                table_lines(models[self.first : self.first + room], width, columns_of(models))
                if models
                else [nothing_shown(self.activity)]
            )
            if len(models) > room:
                foot = [f"{self.first + 1} to {self.first + room} of {len(models)} models", *foot]
        else:
            body = ["taking the first two samples ..."]
        body += [""] * (height - len(head) - len(body) - len(foot))
        lines = [line[:width] for line in [*head, *body, *foot]][:height]
        text = Text("\n".join(lines), no_wrap=True, overflow="crop")
        begins = [sum(len(line) + 1 for line in lines[:place]) for place in range(len(lines) + 1)]
        styles = {0: "bold", len(head): "reverse" if self.activity is not None else ""}
        if self.problem or silent > self.interval + PATIENCE:
            styles[1] = "bold red"
        for place, style in styles.items():
            if place < len(lines):
                text.stylize(style, begins[place], begins[place] + len(lines[place]))
        return text


def watch_live(feed: Feed, wanted: Callable[[str], bool], order: Order, stop: threading.Event) -> None:
    """Draw until `q` is pressed or it is stopped.

    Raises:
        typer.Exit: the server does not answer at the beginning.
    """
    from rich.live import Live

    from tcli_client import ClientError

    console = out()
    screen = Screen(str(feed.address), feed.interval, order, wanted, time.monotonic())
    refused: ClientError | None = None
    with keyboard() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        drawn: tuple[object, ...] = ()
        while not stop.is_set():
            found = feed.next(0.001)
            if isinstance(found, ClientError):
                if screen.activity is None and not screen.problem:
                    refused = found
                    break
                screen.problem, screen.heard = str(found), time.monotonic()
            elif found is not None:
                screen.activity, screen.problem, screen.heard = found, "", time.monotonic()
            key = keys.next(_TURN)
            if key == "q":
                break
            screen.press(key)
            size = console.size
            state = (size, found is not None, key, int(time.monotonic()))
            if found is not None or state != drawn:
                live.update(screen.drawn(size.width, size.height), refresh=True)
                drawn = state
    if refused is not None:
        refuse(refused)
