"""perf_analyzer's options that `tcli perf` does not have, so that people's scripts run or fail for a reason."""

from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand

OPTION_ERROR = 3
"""perf_analyzer's exit status for wrong options."""

_NO_C_API = "leave it out: `tcli analyze` measures a model inside of this process"
_TLS = "give an https:// or grpcs:// URL with -u; certificates are checked against the system's"
_NO_TRACE = "leave it out: traces are the server's, which has an API to set them"
_NO_SHARED = "leave it out: tensors travel as binary data"
_METRICS = "leave it out and read the server's metrics at http://HOST:8002/metrics"
_NO_PERIODS = "leave it out: give --concurrency-range, or --request-intervals for a load that changes"

REFUSED: dict[str, str] = {
    "--periodic-concurrency-range": _NO_PERIODS,
    "--request-period": _NO_PERIODS,
    "--fixed-schedule": "leave it out: give the gaps between requests in --request-intervals FILE",
    "--shared-memory": _NO_SHARED,
    "--output-shared-memory-size": _NO_SHARED,
    "--collect-metrics": _METRICS,
    "--metrics-url": _METRICS,
    "--metrics-interval": _METRICS,
    "--ssl-grpc-use-ssl": _TLS,
    "--ssl-grpc-root-certifications-file": _TLS,
    "--ssl-grpc-private-key-file": _TLS,
    "--ssl-grpc-certificate-chain-file": _TLS,
    "--ssl-https-verify-peer": _TLS,
    "--ssl-https-verify-host": _TLS,
    "--ssl-https-ca-certificates-file": _TLS,
    "--ssl-https-client-certificate-file": _TLS,
    "--ssl-https-client-certificate-type": _TLS,
    "--ssl-https-private-key-file": _TLS,
    "--ssl-https-private-key-type": _TLS,
    "--trace-file": _NO_TRACE,
    "--trace-level": _NO_TRACE,
    "--trace-rate": _NO_TRACE,
    "--trace-count": _NO_TRACE,
    "--log-frequency": _NO_TRACE,
    "--triton-server-directory": _NO_C_API,
    "--model-repository": _NO_C_API,
    "--model-signature-name": "leave it out: it is only for TensorFlow Serving",
    "--endpoint": "leave it out: it is only for services of other kinds",
    "--bls-composing-models": "leave it out: `/v2/models/stats` has the statistics of composing models",
    "--enable-mpi": "leave it out: start the command once for each model",
    "--data-directory": "give the folder with --input-data",
    "-z": "write --input-data zero",
    "-t": "write --concurrency-range N",
    "-c": "write --concurrency-range START:END",
    "-d": "write --concurrency-range START:0 with --latency-threshold",
}
"""By name: what to do instead."""

HARMLESS: dict[str, bool] = {
    "-a": False,
    "--async": False,
    "--sync": False,
    "--serial-sequences": False,
    "--max-threads": True,
}
"""By name, whether it has a value: how perf_analyzer spreads its own work. Here one loop has any number outstanding, of a
sequence one request at a time."""


class OptionError(typer.BadParameter):
    """A value that does not fit; ends with perf_analyzer's exit status."""

    exit_code = OPTION_ERROR


class PerfCommand(TyperCommand):
    """A command that takes perf_analyzer's command lines; a wrong one ends with its exit status."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            for name in _names(args):
                if name in REFUSED:
                    raise OptionError(f"{name} is an option of perf_analyzer that there is not here; {REFUSED[name]}")
            if {"-a", "--async"} & set(args) and "--sync" in args:
                raise OptionError("--async and --sync exclude each other; leave both out")
            return super().parse_args(ctx, without_harmless(args))
        except Exception as problem:
            if hasattr(problem, "format_message"):  # what Typer says about a command line
                problem.exit_code = OPTION_ERROR  # type: ignore[attr-defined]
            raise


def without_harmless(args: Sequence[str]) -> list[str]:
    """The command line without options that change nothing here."""
    left: list[str] = []
    arguments = iter(args)
    for argument in arguments:
        name, given, _ = argument.partition("=")
        if name not in HARMLESS:
            left.append(argument)
        elif HARMLESS[name] and not given:
            next(arguments, None)
    return left


def _names(args: Sequence[str]) -> list[str]:
    return [argument.partition("=")[0] for argument in args if argument.startswith("-")]
