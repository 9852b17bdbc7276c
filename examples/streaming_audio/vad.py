"""Asks the served silero-vad, chunk by chunk, over one gRPC stream (ModelStreamInfer), with NVIDIA's client library."""

import queue
from collections.abc import Generator, Iterable, Iterator
from uuid import uuid4

import numpy as np
import tritonclient.grpc as triton
from resampling import Resampler
from sound import Sound
from tritonclient.utils import InferenceServerException

RATE = 16_000
CHUNK = 512
"""New samples that the model looks at each time."""

CONTEXT = 64
"""Samples of the chunk before that it sees again in front of them, as in the package's own `OnnxWrapper`."""

PATIENCE_SECONDS = 60


class VadError(Exception):
    """The server does not answer, or with an error."""


def chunks(sound: Sound) -> Iterator[np.ndarray]:
    """What to ask the model, one after the other: FP32 [576] at 16 kHz; the last is filled up with silence."""
    resampler = Resampler(sound.rate, RATE)
    rest = np.zeros(CONTEXT, np.float32)
    for block in sound.blocks:
        rest = np.concatenate((rest, resampler.feed(block)))
        while len(rest) >= CONTEXT + CHUNK:
            yield rest[: CONTEXT + CHUNK]
            rest = rest[CHUNK:]
    rest = np.concatenate((rest, resampler.finish()))
    for begin in range(0, len(rest) - CONTEXT, CHUNK):
        chunk = rest[begin : begin + CONTEXT + CHUNK]
        yield np.pad(chunk, (0, CONTEXT + CHUNK - len(chunk)))


def probabilities(
    chunks: Iterable[np.ndarray], url: str, in_flight: int = 1, model: str = "silero_vad"
) -> Generator[float]:
    """How likely each chunk is speech, in order.

    Args:
        url: host:port of the server's gRPC.
        in_flight: chunks that may be under way before an answer is waited for: 1 gives each answer at once, more are
            quicker where the chunks are there already, as in a file.

    Raises:
        VadError: there is no server, or it refuses.
    """
    answers: queue.Queue[tuple[triton.InferResult | None, Exception | None]] = queue.Queue()

    def answer() -> float:
        try:
            result, error = answers.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            raise VadError(f"no answer from {url} within {PATIENCE_SECONDS} s") from None
        if result is None:
            raise VadError(f"no answer from {url}: {error}")
        return float(result.as_numpy("output")[0, 0])

    client = triton.InferenceServerClient(url)
    sequence_id = str(uuid4())  # under which the server keeps the model's state between two chunks
    sent = received = 0
    try:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for chunk in chunks:
            client.async_stream_infer(model, _inputs(chunk), sequence_id=sequence_id, sequence_start=not sent)
            sent += 1
            if sent - received == in_flight:
                yield answer()
                received += 1
        for _ in range(received, sent):
            yield answer()
        if sent:  # a request of its own says that this was all, as nobody knows which word at a microphone is the last
            silence = np.zeros(CONTEXT + CHUNK, np.float32)
            client.async_stream_infer(model, _inputs(silence), sequence_id=sequence_id, sequence_end=True)
            answer()
    except InferenceServerException:  # the stream is broken; why is among the answers
        while True:
            answer()
    finally:
        client.stop_stream(cancel_requests=True)  # where we were interrupted, the server forgets the sequence at once
        client.close()


def _inputs(chunk: np.ndarray) -> list[triton.InferInput]:
    samples = triton.InferInput("input", [1, len(chunk)], "FP32")
    samples.set_data_from_numpy(chunk[np.newaxis])
    rate = triton.InferInput("sr", [1], "INT64")
    rate.set_data_from_numpy(np.array([RATE], np.int64))
    return [samples, rate]
