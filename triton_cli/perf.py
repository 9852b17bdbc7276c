"""`tcli perf`: put a model of any server under load, as perf_analyzer does."""

from pathlib import Path
from typing import Annotated

import typer

from triton_cli.perf_options import OptionError, PerfCommand
from triton_cli.perf_sequences import sequences_of
from triton_cli.perf_settings import (
    Compression,
    DistributionName,
    MeasurementMode,
    TensorFormat,
    headers_of,
    options_of,
    parameters_of,
    plan_of,
    shapes_of,
)
from triton_cli.server_address import ProtocolName

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(cls=PerfCommand)
def perf(
    model: Annotated[str, typer.Option("-m", "--model-name", metavar="NAME", help="The model.")],
    version: Annotated[
        str, typer.Option("-x", "--model-version", metavar="N", help="Its version. [default: the server's choice]")
    ] = "",
    url: Annotated[
        str,
        typer.Option("-u", "--url", metavar="URL", help="host:port, or a URL. Ports: 8000 for HTTP, 8001 for gRPC."),
    ] = "localhost",
    protocol: Annotated[
        ProtocolName | None,
        typer.Option(
            "-i", "--protocol", metavar="http|grpc", case_sensitive=False, help="[default: as the URL says, else http]"
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option("-b", "--batch-size", metavar="N", min=1, help="Inferences in a request.")
    ] = 1,
    concurrency_range: Annotated[
        str,
        typer.Option(metavar="S:E:STEP", help="Outstanding requests; end 0: until the latency threshold. [default: 1]"),
    ] = "",
    request_rate_range: Annotated[
        str, typer.Option(metavar="S:E:STEP", help="Requests per second by a schedule, in place of a concurrency.")
    ] = "",
    request_distribution: Annotated[
        DistributionName, typer.Option(metavar="constant|poisson", help="How the gaps of a request rate vary.")
    ] = DistributionName.CONSTANT,
    request_intervals: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Gaps between requests: microseconds, one in a line.")
    ] = None,
    binary_search: Annotated[
        bool, typer.Option("--binary-search", help="Search the range for the most that keeps the latency threshold.")
    ] = False,
    measurement_mode: Annotated[
        MeasurementMode, typer.Option(metavar="time_windows|count_windows", help="When a window ends.")
    ] = MeasurementMode.TIME_WINDOWS,
    measurement_interval: Annotated[
        float, typer.Option("-p", "--measurement-interval", metavar="MS", help="Length of a window by time.")
    ] = 5000.0,
    measurement_request_count: Annotated[
        int, typer.Option(metavar="N", min=1, help="Answers in a window by count.")
    ] = 50,
    stability_percentage: Annotated[
        float,
        typer.Option(
            "-s",
            "--stability-percentage",
            metavar="PERCENT",
            help="Stable: three windows in a row differ by at most this.",
        ),
    ] = 10.0,
    max_trials: Annotated[
        int, typer.Option("-r", "--max-trials", metavar="N", min=1, help="Windows at most for a load.")
    ] = 10,
    percentile: Annotated[
        int, typer.Option(metavar="N", help="Judge latency by this percentile, 1 to 99; -1: by the average.")
    ] = -1,
    latency_threshold: Annotated[
        float,
        typer.Option(
            "-l", "--latency-threshold", metavar="MS", min=0, help="Go no further once latency is above; 0: no limit."
        ),
    ] = 0.0,
    warmup_request_count: Annotated[int, typer.Option(metavar="N", min=0, help="Requests before the measurement.")] = 0,
    request_count: Annotated[
        int, typer.Option(metavar="N", min=0, help="Send exactly so many, in one window; 0: until windows are stable.")
    ] = 0,
    input_data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="random|zero|PATH", help="A folder, .json, .npy, pictures; NAME:PATH for one input (repeatable)."
        ),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:D1,D2", help="Shape of an input with -1 dimensions, without the batch (repeatable)."
        ),
    ] = None,
    string_length: Annotated[int, typer.Option(metavar="N", min=0, help="Length of random strings.")] = 128,
    string_data: Annotated[str, typer.Option(metavar="TEXT", help="This string in place of random ones.")] = "",
    csv: Annotated[Path | None, typer.Option("-f", "--csv", metavar="FILE", help="Write the results as CSV.")] = None,
    verbose_csv: Annotated[bool, typer.Option("--verbose-csv", help="More columns in the CSV.")] = False,
    profile_export_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every request's times as JSON; must not exist.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("-H", "--header", metavar="NAME:VALUE", help="Send along (repeatable).")
    ] = None,
    request_parameter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:VALUE:TYPE", help="A parameter of each request; bool, int, float, string (repeatable)."
        ),
    ] = None,
    num_of_sequences: Annotated[
        int, typer.Option(metavar="N", min=1, help="Sequences open at once with a request rate, of a model with state.")
    ] = 4,
    sequence_length: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Requests in a sequence. [default: as in the input data, else 20]"),
    ] = None,
    sequence_length_variation: Annotated[
        float, typer.Option(metavar="PERCENT", min=0, max=100, help="By how much lengths vary.")
    ] = 20.0,
    start_sequence_id: Annotated[int, typer.Option(metavar="N", min=1, help="The first sequence's id.")] = 1,
    sequence_id_range: Annotated[str, typer.Option(metavar="S:E", help="Ids of sequences, E excluded.")] = "",
    streaming: Annotated[
        bool, typer.Option("--streaming", help="Ask through a stream (gRPC only), also decoupled models.")
    ] = False,
    input_tensor_format: Annotated[
        TensorFormat, typer.Option(metavar="binary|json", help="HTTP only.")
    ] = TensorFormat.BINARY,
    output_tensor_format: Annotated[
        TensorFormat, typer.Option(metavar="binary|json", help="HTTP only.")
    ] = TensorFormat.BINARY,
    grpc_compression_algorithm: Annotated[
        Compression, typer.Option(metavar="none|gzip|deflate", help="Of requests; gRPC only.")
    ] = Compression.NONE,
    service_kind: Annotated[str, typer.Option(metavar="triton", help="Any server that speaks V2.")] = "triton",
    timeout: Annotated[
        float,
        typer.Option(
            metavar="S", min=0.1, max=86_400, help="Seconds to wait for an answer; without one the load ends."
        ),
    ] = 60.0,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Tell of each window.")] = False,
) -> None:
    """Put a model of a server under load, as perf_analyzer does: same options, same CSV and JSON.

    Measures each load until three windows in a row agree. Tells throughput, latencies with their intervals, the server's
    own times, and whether the load generator or other programs had a share in them. Ctrl-C keeps what was measured.
    Ends with 0, or 2: not stable, 3: wrong options, 99: anything else.

    \b
    Examples:
      tcli perf -m densenet_onnx --concurrency-range 1:8:2 -f results.csv
      tcli perf -m densenet_onnx -i grpc --request-rate-range 20 --request-distribution poisson
      tcli perf -m my_model -b 8 --shape input:224,224,3 --percentile 95 -l 50 --concurrency-range 1:0
    """
    from tcli_analyzer.data import DataSource, Strings
    from tcli_analyzer.remote import Wire
    from tcli_client import UrlError, parse_address
    from triton_cli.perf_run import Asked, Files, run

    if not model:
        raise OptionError("-m: expected the name of a model, found none")
    if version and not version.isdecimal():
        raise OptionError(f"-x: expected the number of a version, found '{version}'")
    if service_kind != "triton":
        raise OptionError(
            f"--service-kind {service_kind} is not there; leave it out: any server that speaks V2 is asked"
        )
    try:
        address = parse_address(url, protocol.value if protocol else None)
    except UrlError as problem:
        raise OptionError(f"-u: {problem}; {problem.fix}" if problem.fix else f"-u: {problem}") from None
    json = [name.value for name in (input_tensor_format, output_tensor_format) if name is TensorFormat.JSON]
    if address.protocol == "http" and (streaming or grpc_compression_algorithm is not Compression.NONE):
        name = "--streaming" if streaming else "--grpc-compression-algorithm"
        raise OptionError(f"{name} is only there over gRPC; add -i grpc")
    if address.protocol == "grpc" and json:
        raise OptionError("tensors as JSON are only there over HTTP; leave out -i grpc")
    if profile_export_file is not None and profile_export_file.exists():
        raise OptionError(f"--profile-export-file: {profile_export_file} is there already; remove it or name another")
    plan = plan_of(
        concurrency_range, request_rate_range, request_intervals, request_distribution, binary_search, latency_threshold
    )
    options = options_of(
        plan,
        measurement_mode,
        measurement_interval,
        measurement_request_count,
        stability_percentage,
        max_trials,
        percentile,
        latency_threshold,
        warmup_request_count,
        request_count,
        batch_size,
    )
    wire = Wire(
        headers_of(header or (), address.protocol),
        parameters_of(request_parameter or ()),
        streaming,
        input_tensor_format is TensorFormat.JSON,
        output_tensor_format is TensorFormat.JSON,
        grpc_compression_algorithm.value,
    )
    sequences = sequences_of(
        plan, num_of_sequences, sequence_length, sequence_length_variation, start_sequence_id, sequence_id_range
    )
    source = DataSource(tuple(input_data or ()), shapes_of(shape or ()), strings=Strings(string_length, string_data))
    asked = Asked(address, model, version, timeout, wire, sequences)
    run(asked, source, plan, options, Files(csv, verbose_csv, profile_export_file), verbose)
