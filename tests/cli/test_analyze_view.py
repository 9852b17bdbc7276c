"""What `tcli analyze` shows while it measures, and what of it stays."""

import io

import pytest
from rich.console import Console

from triton_cli.analyze_view import live_or_plain


@pytest.mark.parametrize("terminal", [False, True])
def test_a_warning_is_there_when_all_is_over(terminal, capsys):
    """On a terminal what is shown meanwhile goes, and notes go with it."""

    def end() -> None:
        with live_or_plain(Console(file=io.StringIO(), force_terminal=terminal, width=80)) as view:
            view.note("loading")
            view.warn("it has another\tconfiguration")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        end()
    assert capsys.readouterr().err == "warning: it has another\\tconfiguration\n"
