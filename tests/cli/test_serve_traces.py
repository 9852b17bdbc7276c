"""`tcli serve --trace-config` and what came before it, as tritonserver reads them."""

import pytest
import typer

from tcli_server.tracing.options import TraceLevel, TraceOptions, TraceSettings
from triton_cli.serve_traces import Deprecated, trace_options

NOTHING = Deprecated()


@pytest.mark.parametrize(
    ("given", "before", "options"),
    [
        ([], NOTHING, TraceOptions()),
        (
            ["level=timestamps", "rate=1", "count=5", "triton,file=a=b", "triton,log-frequency=3"],
            NOTHING,
            TraceOptions(settings=TraceSettings(TraceLevel.TIMESTAMPS, 1, 5, 3), file="a=b"),
        ),
        (
            ["level=TENSORS", "level=on", "triton,file=f"],
            NOTHING,
            TraceOptions(settings=TraceSettings(TraceLevel.TIMESTAMPS | TraceLevel.TENSORS), file="f"),
        ),
        (["level=TIMESTAMPS", "level=OFF", "rate=2"], NOTHING, TraceOptions(settings=TraceSettings(rate=2))),
        (
            ["mode=OpenTelemetry", "level=on", "rate=0", "opentelemetry,url=http://c:4318/v1/traces",
             "opentelemetry,resource=a=b=c", "opentelemetry,resource=d=e", "opentelemetry,bsp_max_queue_size=600"],
            NOTHING,
            TraceOptions(
                "opentelemetry", TraceSettings(TraceLevel.TIMESTAMPS, 0), url="http://c:4318/v1/traces", resource={"a": "b=c", "d": "e"},
                bsp_max_queue_size=600, bsp_schedule_delay=70,
            ),
        ),
        ([], Deprecated("f", ("max",), 4, 6, 8), TraceOptions(settings=TraceSettings(TraceLevel.TIMESTAMPS, 4, 6, 8), file="f")),
        (
            ["triton,file=g", "rate=9"], Deprecated("f", ("timestamps",), 4),
            TraceOptions(settings=TraceSettings(TraceLevel.TIMESTAMPS, 9), file="g"),
        ),
    ],
)  # fmt: skip
def test_what_is_asked_for(
    given: list[str], before: Deprecated, options: TraceOptions, monkeypatch: pytest.MonkeyPatch
):
    if options.mode == "opentelemetry":
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "70")
    assert trace_options(given, before) == options


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["rate"], "no SETTING=VALUE"),
        (["triton,file="], "no SETTING=VALUE"),
        (["jaeger,url=x"], "trace mode 'jaeger' is unknown"),
        (["frequency=1"], "frequency: no such setting fix: one of mode, level, rate, count"),
        (["triton,url=x"], "triton,url: no such setting fix: one of file, log-frequency"),
        (["level=high"], "level=high: no such level"),
        (["rate=often"], "--trace-config rate=often: no whole number"),
        (["count=-2"], "--trace-config count=-2 is out of range fix: -1 to 2147483647"),
        (["level=TIMESTAMPS"], "trace file name is not given: use --trace-config triton,file=FILE"),
        (["opentelemetry,bsp_max_queue_size=5"], "bsp_max_export_batch_size 512 is more than bsp_max_queue_size 5"),
        (
            ["mode=opentelemetry", "level=TENSORS"],
            "level TENSORS alone leaves nothing for spans: use --trace-config level=TIMESTAMPS",
        ),
        (["opentelemetry,resource=x"], "resource=x: no NAME=VALUE"),
        (["triton,file=/"], "trace file '/' cannot be written: it is a folder"),
        (["triton,file=/nowhere/t.json"], "there is no folder /nowhere; fix: name a file"),
        (["opentelemetry,url=c:4318/v1/traces"], "trace url 'c:4318/v1/traces' is not an address of HTTP"),
    ],
)
def test_what_is_wrong_is_said(given: list[str], words: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(typer.Exit):
        trace_options(given, NOTHING)
    assert words in " ".join(capsys.readouterr().err.split())
