"""Prints when somebody starts and stops speaking, in a WAV file or at the microphone, while it is heard.

python examples/streaming_audio/detect_speech.py recording.wav
python examples/streaming_audio/detect_speech.py --microphone     # needs: pip install sounddevice
espeak-ng --stdout "Is anybody there?" | python examples/streaming_audio/detect_speech.py -
"""

import argparse
import os
import sys
from contextlib import ExitStack, closing
from math import inf
from pathlib import Path

from segments import Start, segments
from sound import Sound, SoundError, microphone, wav
from vad import CHUNK, RATE, VadError, chunks, probabilities

FILE_IN_FLIGHT = 32
"""Chunks of a file that may be under way at once. Of what is just being said the first answer is wanted at once."""


def main() -> int:
    """The command; its exit status."""
    options = _options()
    try:
        with ExitStack() as files:
            sound = _sound(options, files)
            in_flight = 1 if options.microphone or options.wav == "-" else FILE_IN_FLIGHT
            likely = files.enter_context(closing(probabilities(chunks(sound), options.url, in_flight)))
            for event in segments(likely, CHUNK / RATE, options.threshold, options.min_silence):
                if isinstance(event, Start):
                    print(f"{event.seconds:9.2f} s  speech starts", flush=True)
                else:
                    print(f"{event.seconds:9.2f} s  speech ends   ({event.duration:.2f} s)", flush=True)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(f"{options.wav}: {error.strerror}")
    except SoundError as error:
        return _fail(f"{options.wav or 'microphone'}: {error}")
    except VadError as error:
        return _fail(f"{error}; is it served? See README.md beside this file")
    return 0


def _fail(message: str) -> int:
    print(f"detect_speech: {message}", file=sys.stderr)
    return 1


def _sound(options: argparse.Namespace, files: ExitStack) -> Sound:
    if options.microphone:
        return microphone()
    return wav(sys.stdin.buffer if options.wav == "-" else files.enter_context(Path(options.wav).open("rb")))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("wav", nargs="?", help="a WAV file, - for standard input")
    source.add_argument("--microphone", action="store_true", help="listen until Ctrl-C")
    parser.add_argument("--url", default="localhost:8001", help="host:port of the server's gRPC (default: %(default)s)")
    parser.add_argument(
        "--threshold", type=probability, default=0.5, help="probability of speech (default: %(default)s)"
    )
    parser.add_argument(
        "--min-silence",
        type=seconds,
        default=0.3,
        metavar="SECONDS",
        help="shorter pauses end nothing (default: %(default)s)",
    )
    return parser.parse_args()


def probability(text: str) -> float:
    """An option's value; argparse shows this function's name to whoever gives another."""
    if not 0 < float(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a probability between 0 and 1, found {text}")
    return float(text)


def seconds(text: str) -> float:
    """As `probability`."""
    if not 0 <= float(text) < inf:
        raise argparse.ArgumentTypeError(f"expected seconds, 0 or more, found {text}")
    return float(text)


if __name__ == "__main__":
    sys.exit(main())
