"""What TensorFlow's import writes to stderr: its notes are dropped, everything else comes through, whatever happens."""

import signal
import subprocess
import sys

NOTES = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795723845.160234   22186 port.cc:153] oneDNN custom operations are on.",
    "I0000 00:00:1795723164.597629   29010 cpu_feature_guard.cc:227] This TensorFlow binary is optimized.",
    "To enable the following instructions: AVX2 AVX512F, rebuild TensorFlow with the appropriate compiler flags.",
)
OTHERS = (
    "E0000 00:00:1795723845.160234   22186 cuda.cc:1] Unable to register cuDNN factory",
    "W0000 00:00:1795723845.160234   22186 numa.cc:1] no NUMA node",
    "my own line",
)


def run(code: str) -> subprocess.CompletedProcess[str]:
    whole = f"import os, sys\nfrom tcli_server.backends.tensorflow.chatter import no_chatter\n{code}"
    return subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, timeout=60, check=False)


def test_only_notes_are_dropped_and_the_order_stays() -> None:
    text = "\n".join((OTHERS[0], *NOTES, *OTHERS[1:])) + "\n"
    done = run(f"with no_chatter(): os.write(2, {text.encode()!r})\nos.write(2, {(NOTES[1] + chr(10)).encode()!r})")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [*OTHERS, NOTES[1]]  # afterwards nothing is filtered


def test_the_last_words_of_a_process_come_through() -> None:
    done = run(f"with no_chatter(): os.write(2, {(OTHERS[0] + chr(10)).encode()!r}); os.abort()")
    assert done.returncode == -signal.SIGABRT
    assert OTHERS[0] in done.stderr.splitlines()


def test_a_failing_import_is_raised_and_stderr_is_as_before() -> None:
    done = run(
        "try:\n    with no_chatter(): raise ImportError('no such library')\n"
        "except ImportError as error: print(error)\nos.write(2, b'still here')"
    )
    assert (done.stdout, done.stderr) == ("no such library\n", "still here")


def test_without_stderr_nothing_breaks() -> None:
    done = run("os.close(2)\nwith no_chatter(): print('imported')")
    assert (done.returncode, done.stdout) == (0, "imported\n")
