"""How downloads show what they do: a bar for each file on a terminal, one line for each elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from triton_cli.console import err, printable


@contextmanager
def download_progress() -> Iterator[Callable[[str, int, int], None]]:
    """What to call with a file's name, its bytes that are there, and those that there will be, 0 where nobody knows."""
    console = err()
    if not console.is_terminal:
        told: set[str] = set()

        def tell_once(name: str, _: int, total: int) -> None:
            if name not in told:
                told.add(name)
                size = f" ({_amount(total)})" if total else ""
                console.print(printable(f"downloading {name}{size}"), markup=False)

        yield tell_once
        return
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as SpeedColumn

    columns = (BarColumn(), DownloadColumn(), SpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}
        waiting = bar.add_task("asking", total=None)  # it pulses while nothing has answered yet

        def update(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(escape(printable(name)), total=total or None)
                bar.update(waiting, visible=False)
            bar.update(tasks[name], completed=done)

        yield update


def _amount(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"
