"""Workers that die, hang, leak or talk: what clients, the log and the readiness say of it, and what goes on."""

import os
import signal
import sys
import tarfile
import threading
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from python_models import IDENTITY, IDENTITY_CONFIG, REPEAT, REPEAT_CONFIG, write_python_model
from tcli_server.engine import Engine
from tcli_server.errors import InternalError, InvalidArgumentError, ServerError, UnavailableError
from tcli_server.observability.metrics import ServerCollector, exposition
from tcli_server.observability.system import SystemPoller
from tcli_server.options import EngineOptions
from tcli_server.request import InferenceRequest, InferenceResponse
from waiting import until

EXPLICIT = EngineOptions(model_control_mode="explicit")
SIXTEEN = np.arange(16, dtype=np.float32)

PROCESS = """
import os
import time


class TritonPythonModel:
    def execute(self, requests):
        what = requests[0].request_id()
        if what == "exit":
            print("I am leaving")
            os._exit(3)
        if what == "hang":
            time.sleep(1000)
        tensor = pb_utils.Tensor("OUTPUT0", np.array([os.getpid()], np.float32))  # exact up to 2^24
        return [pb_utils.InferenceResponse([tensor]) for _ in requests]
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    write_python_model(folder := tmp_path_factory.mktemp("models"), "m", PROCESS)
    with Engine(folder) as engine:
        yield engine


def process_of(engine: Engine, name: str = "m") -> int:
    return int(engine.infer(name, {"INPUT0": SIXTEEN}).outputs["OUTPUT0"][0])


def counts(engine: Engine, name: str = "m") -> tuple[int, int]:
    statistics = engine.statistics(name).model_stats[0].inference_stats
    return statistics.success.count, statistics.fail.count


def test_a_killed_worker_is_replaced(tmp_path: Path):
    write_python_model(tmp_path, "m", PROCESS)
    with Engine(tmp_path) as engine:
        killed = process_of(engine)
        os.kill(killed, signal.SIGKILL)
        until(lambda: engine.model("m").instances[0].instance.restarts == 1)
        until(lambda: engine.model_ready("m"))
        assert process_of(engine) != killed
        assert engine.ready()
        assert counts(engine) == (2, 0)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_signals_to_all_processes_of_a_server_are_the_servers(started: Engine, number: signal.Signals):
    process = process_of(started)
    os.kill(process, number)
    assert process_of(started) == process


def test_a_worker_that_ends_in_the_middle_tells_its_clients_how(tmp_path: Path):
    write_python_model(tmp_path, "m", PROCESS)
    with Engine(tmp_path) as engine:
        first = process_of(engine)
        with pytest.raises(InternalError, match=r"instance m_0_0 ended with status 3; its last words: I am leaving"):
            engine.infer("m", {"INPUT0": SIXTEEN}, request_id="exit")
        assert process_of(engine) != first  # waits for the new one
        assert counts(engine) == (2, 1)


def test_a_worker_that_hangs_is_ended_at_the_time_limit_and_says_where_it_was(tmp_path: Path):
    limit = 'parameters { key: "EXECUTION_TIMEOUT_SECS" value { string_value: "0.5" } }'
    write_python_model(tmp_path, "m", PROCESS, IDENTITY_CONFIG + limit)
    with Engine(tmp_path) as engine:
        with pytest.raises(
            InternalError, match=r"did not answer within 0.5 s and was ended.*model[.]py., line [0-9]+ in execute"
        ):
            engine.infer("m", {"INPUT0": SIXTEEN}, request_id="hang")
        process_of(engine)
        assert counts(engine) == (1, 1)


def test_readiness_tells_the_truth_of_a_worker_that_keeps_dying(tmp_path: Path):
    code = """
    import os


    class TritonPythonModel:
        def initialize(self, args):
            marker = os.path.join(args["model_repository"], "started")
            if os.path.exists(marker):
                raise RuntimeError("not again")
            open(marker, "w").close()

        def execute(self, requests):
            os._exit(1)
    """
    write_python_model(tmp_path, "m", code)
    write_python_model(tmp_path, "other", IDENTITY)
    with Engine(tmp_path) as engine:
        assert engine.model_ready("m")
        with pytest.raises(InternalError, match="ended with status 1"):
            engine.infer("m", {"INPUT0": SIXTEEN})
        until(lambda: not engine.model_ready("m"))
        assert not engine.ready()
        with pytest.raises(
            UnavailableError, match=r"RuntimeError: not again.*the next try is made 0.5 s later|being replaced"
        ):
            engine.infer("m", {"INPUT0": SIXTEEN})
        engine.infer("other", {"INPUT0": SIXTEEN})
        (tmp_path / "m" / "started").unlink()
        until(lambda: engine.model_ready("m"))


def test_one_of_two_instances_that_is_down_takes_no_work(tmp_path: Path):
    code = PROCESS.replace(
        "def execute",
        """def initialize(self, args):
        self.name = args["model_instance_name"]
        marker = os.path.join(args["model_repository"], "dead")
        if self.name.endswith("_0") and os.path.exists(marker):
            raise RuntimeError("stays away")

    def execute""",
    )
    write_python_model(tmp_path, "m", code, IDENTITY_CONFIG + "instance_group { count: 2 kind: KIND_CPU }")
    with Engine(tmp_path) as engine:
        (tmp_path / "m" / "dead").touch()
        first = engine.model("m").instances[0].instance
        os.kill(first._supervisor.process._process.pid, signal.SIGKILL)
        until(lambda: not first.fit)
        for _ in range(20):
            process_of(engine)
        assert engine.model_ready("m")
        assert counts(engine) == (20, 0)


def test_what_a_decoupled_model_would_have_said_is_an_error_when_it_dies(tmp_path: Path):
    code = """
    import os
    import threading


    class TritonPythonModel:
        def execute(self, requests):
            self.sender = requests[0].get_response_sender()
            threading.Thread(target=self.answer).start()

        def answer(self):
            self.sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.array([1], np.int32))]))
            os._exit(7)
    """
    write_python_model(tmp_path, "m", code, REPEAT_CONFIG)
    heard: list[InferenceResponse] = []
    over = threading.Event()

    def reply(response: InferenceResponse) -> None:
        heard.append(response)
        if response.final:
            over.set()

    with Engine(tmp_path) as engine:
        values = np.zeros(1, np.int32)
        engine.submit(InferenceRequest("m", {"IN": values}, takes_many=True, reply=reply))
        assert over.wait(30)
    assert len(heard) == 2
    assert "ended with status 7" in str(heard[1].error)


def test_a_sender_that_is_dropped_ends_its_request(tmp_path: Path):
    write_python_model(
        tmp_path, "m", "class TritonPythonModel:\n    def execute(self, requests):\n        pass\n", REPEAT_CONFIG
    )
    heard: list[InferenceResponse] = []
    over = threading.Event()

    def reply(response: InferenceResponse) -> None:
        heard.append(response)
        over.set()

    with Engine(tmp_path) as engine:
        engine.submit(InferenceRequest("m", {"IN": np.zeros(1, np.int32)}, takes_many=True, reply=reply))
        assert over.wait(30)
    assert "without a final response" in str(heard[0].error)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("[]", "Number of InferenceResponse objects do not match the number of InferenceRequest objects"),
        ("'text'", "Expected a list in the execute return, found type 'str'"),
        ("['text']", "Expected an 'InferenceResponse' object"),
        ("[None]", "without a final response"),
        ("None", "without a final response"),
    ],
)
def test_what_execute_must_return(tmp_path: Path, returned: str, words: str):
    code = f"class TritonPythonModel:\n    def execute(self, requests):\n        return {returned}\n"
    write_python_model(tmp_path, "m", code)
    with Engine(tmp_path) as engine, pytest.raises(InternalError, match=words):
        engine.infer("m", {"INPUT0": SIXTEEN})


def test_what_a_model_prints_is_in_the_log_with_its_name(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    code = """
    import sys


    class TritonPythonModel:
        def initialize(self, args):
            print("hello", args["model_name"])

        def execute(self, requests):
            print("working", file=sys.stderr)
            return [pb_utils.InferenceResponse([]) for _ in requests]
    """
    write_python_model(tmp_path, "talker", code)
    with Engine(tmp_path) as engine:
        engine.infer("talker", {"INPUT0": SIXTEEN})
        until(lambda: "talker_0_0: working" in caplog.text)
    assert "talker_0_0: hello talker" in caplog.text


def test_a_model_that_keeps_its_inputs_fails_its_own_requests_at_the_limit(tmp_path: Path):
    code = """
    class TritonPythonModel:
        def initialize(self, args):
            self.kept = []

        def execute(self, requests):
            if requests[0].request_id() == "let go":
                self.kept.clear()
            self.kept += requests
            return [pb_utils.InferenceResponse([]) for _ in requests]
    """
    write_python_model(tmp_path, "leak", code)
    write_python_model(tmp_path, "identity", IDENTITY)
    options = EngineOptions(backend_config={"python": {"shm-limit-byte-size": str(4 << 20)}})
    array = np.zeros(1 << 18, np.float32)  # 1 MiB
    with Engine(tmp_path, options=options) as engine:
        for _ in range(4):
            engine.infer("leak", {"INPUT0": array})
        with pytest.raises(UnavailableError, match=r"shared memory are needed, and the limit is 4194304"):
            engine.infer("leak", {"INPUT0": array})
        engine.infer("identity", {"INPUT0": array})
        engine.infer("leak", {"INPUT0": SIXTEEN[:0]}, request_id="let go")
        engine.infer("leak", {"INPUT0": array})


def test_memory_shrinks_again(tmp_path: Path):
    write_python_model(tmp_path, "identity", IDENTITY)
    with Engine(tmp_path) as engine:
        instance = engine.model("identity").instances[0].instance
        engine.infer("identity", {"INPUT0": np.zeros(4 << 20, np.float32)})
        assert instance.memory_size >= 32 << 20
        for _ in range(600):
            engine.infer("identity", {"INPUT0": SIXTEEN})
        assert instance.memory_size <= 4 << 20


def test_workers_are_gone_with_their_model(tmp_path: Path):
    write_python_model(tmp_path, "m", PROCESS)
    with Engine(tmp_path) as engine:
        process = process_of(engine)
    until(lambda: not is_running(process))


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


# --- another Python ---


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that sees this one's numpy and has a module that this one has not."""
    folder = tmp_path_factory.mktemp("environments") / "own"
    venv.create(folder, symlinks=True, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "numpy.pth").write_text(f"{Path(np.__file__).parent.parent}\n")
    (packages / "only_here.py").write_text("VALUE = 42\n")
    return folder


USES_IT = """
import only_here


class TritonPythonModel:
    def execute(self, requests):
        tensor = pb_utils.Tensor("OUTPUT0", np.array([only_here.VALUE], np.float32))
        return [pb_utils.InferenceResponse([tensor]) for _ in requests]
"""


def with_environment(path: object) -> str:
    return IDENTITY_CONFIG + f'parameters {{ key: "EXECUTION_ENV_PATH" value {{ string_value: "{path}" }} }}'


def test_a_model_runs_in_an_environment_of_its_own(tmp_path: Path, environment: Path):
    write_python_model(tmp_path, "folder", USES_IT, with_environment(environment))
    write_python_model(tmp_path, "packed", USES_IT, with_environment("$$TRITON_MODEL_DIRECTORY/env.tar.gz"))
    with tarfile.open(tmp_path / "packed" / "env.tar.gz", "w:gz") as archive:
        # As a packed environment: what leads out of it (the interpreter's link) is a file of its own.
        archive.add(environment / "lib", "lib")
        archive.add(os.path.realpath(sys.executable), "bin/python")
        archive.add(environment / "pyvenv.cfg", "pyvenv.cfg")
    write_python_model(tmp_path, "tarred", USES_IT, with_environment("env.tar"))
    with tarfile.open(tmp_path / "tarred" / "env.tar", "w") as archive:
        archive.add(environment, ".")  # as it is: `tar -cf env.tar -C env .`
    with Engine(tmp_path) as engine:
        for name in ("folder", "packed", "tarred"):
            assert engine.infer(name, {"INPUT0": SIXTEEN}).outputs["OUTPUT0"][0] == 42


def test_a_broken_environment_fails_the_load_and_says_why(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "torn.tar.gz").write_bytes(b"\x1f\x8b no archive")
    bare = tmp_path / "bare"
    venv.create(bare, symlinks=True, with_pip=False)
    repository = tmp_path / "repository"
    for path, words in {
        "empty": "bin/activate does not exist",
        "missing": "neither a folder nor an archive",
        "torn.tar.gz": "cannot be unpacked",
        "bare": r"ended with status 1; its last words: .*cannot import numpy .*fix: ",
    }.items():
        write_python_model(repository, path.split(".")[0], IDENTITY, with_environment(tmp_path / path))
        with Engine(repository, options=EXPLICIT) as engine, pytest.raises(ServerError, match=words):
            engine.load(path.split(".")[0])


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


@pytest.mark.parametrize("name", ["lib/python", "bin/../python", "bin/pythonic/../../bin2", "python"])
def test_no_other_link_of_an_archive_leads_out_of_its_folder(tmp_path: Path, name: str):
    repository = tmp_path / "repository"
    write_python_model(repository, "m", IDENTITY, with_environment("env.tar"))
    with tarfile.open(repository / "m" / "env.tar", "w") as archive:
        archive.addfile(link(name, str(tmp_path)))
    refused = pytest.raises(InvalidArgumentError, match="AbsoluteLinkError")
    with Engine(repository, options=EXPLICIT) as engine, refused:
        engine.load("m")


def test_nothing_is_written_through_the_link_of_an_interpreter(tmp_path: Path):
    repository, outside = tmp_path / "repository", tmp_path / "outside"
    outside.mkdir()
    write_python_model(repository, "m", IDENTITY, with_environment("env.tar"))
    (tmp_path / "evil").write_text("x")
    with tarfile.open(repository / "m" / "env.tar", "w") as archive:
        archive.addfile(link("bin/python", str(outside)))
        archive.add(tmp_path / "evil", "bin/python/evil")
    refused = pytest.raises(InvalidArgumentError, match="OutsideDestinationError")
    with Engine(repository, options=EXPLICIT) as engine, refused:
        engine.load("m")
    assert not list(outside.iterdir())


def test_an_archive_must_not_lead_out_of_its_folder(tmp_path: Path):
    repository = tmp_path / "repository"
    write_python_model(repository, "m", IDENTITY, with_environment("$$TRITON_MODEL_DIRECTORY/env.tar.gz"))
    (tmp_path / "evil").write_text("x")
    with tarfile.open(repository / "m" / "env.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "evil", "../../outside")
    refused = pytest.raises(InvalidArgumentError, match="OutsideDestinationError")
    with Engine(repository, options=EXPLICIT) as engine, refused:
        engine.load("m")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def broken(:\n", r"SyntaxError: invalid syntax \(model.py, line \d\)($|;)"),
        ("import no_such_module\n", "No module named 'no_such_module'"),
        ("class Other:\n    pass\n", "TritonPythonModel"),
        (
            "class TritonPythonModel:\n    def initialize(self, args):\n        raise ValueError('no weights')\n",
            "no weights",
        ),
        ("import os\nos._exit(9)\n", "ended with status 9"),
        ("import sys\nsys.exit('bye')\n", "SystemExit: bye"),
        ("import os\nos.kill(os.getpid(), 11)\n", "ended by SIGSEGV"),
    ],
)
def test_a_model_that_cannot_start_fails_its_load_and_says_why(tmp_path: Path, code: str, words: str):
    write_python_model(tmp_path, "m", code)
    with Engine(tmp_path, options=EXPLICIT) as engine:
        with pytest.raises(ServerError, match=words):
            engine.load("m")
        assert not engine.model_ready("m")


def test_parameters_that_mean_nothing_are_refused(tmp_path: Path):
    for index, (key, value) in enumerate(
        [("EXECUTION_TIMEOUT_SECS", "soon"), ("FORCE_CPU_ONLY_INPUT_TENSORS", "maybe")]
    ):
        config = IDENTITY_CONFIG + f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'
        write_python_model(tmp_path, f"m{index}", IDENTITY, config)
        refused = pytest.raises(ServerError, match=rf'parameters\["{key}"\]')
        with Engine(tmp_path, options=EXPLICIT) as engine, refused:
            engine.load(f"m{index}")


def test_repeat_over_a_restart(tmp_path: Path):
    write_python_model(tmp_path, "m", REPEAT, REPEAT_CONFIG)
    with Engine(tmp_path) as engine:
        os.kill(engine.model("m").instances[0].instance._supervisor.process._process.pid, signal.SIGKILL)
        heard: list[InferenceResponse] = []
        over = threading.Event()

        def reply(response: InferenceResponse) -> None:
            heard.append(response)
            if response.final:
                over.set()

        def answered() -> bool:
            heard.clear()
            over.clear()
            values = np.arange(3, dtype=np.int32)
            engine.submit(InferenceRequest("m", {"IN": values}, takes_many=True, reply=reply))
            assert over.wait(30)
            return heard[-1].error is None

        until(answered)
        assert len(heard) == 4


def test_a_request_that_kills_the_worker_costs_nobody_else_anything(tmp_path: Path):
    write_python_model(tmp_path, "m", PROCESS)
    with Engine(tmp_path) as engine:
        for _ in range(100):  # until requests are handed over together
            process_of(engine)
        heard: dict[str, InferenceResponse] = {}
        over = threading.Semaphore(0)

        def reply(response: InferenceResponse) -> None:
            heard[response.id] = response
            over.release()

        names = [f"{index}" for index in range(30)]
        names[10] = names[20] = "exit"
        for name in names:
            engine.submit(InferenceRequest("m", {"INPUT0": SIXTEEN}, id=name, reply=reply))
        for _ in names:
            assert over.acquire(timeout=30)
        assert [name for name, response in heard.items() if response.error is not None] == ["exit"]
        assert counts(engine) == (128, 2)


def test_the_metrics_show_restarts_and_shared_memory(tmp_path: Path):
    write_python_model(tmp_path, "m", PROCESS)
    with Engine(tmp_path) as engine:
        os.kill(process_of(engine), signal.SIGKILL)
        until(lambda: engine.model_ready("m") and engine.model("m").instances[0].instance.restarts == 1)
        poller = SystemPoller(60, cpu=False, gpu=False)
        text = exposition(ServerCollector(engine, poller).collect()).decode()
    assert 'tcli_worker_restarts{instance="m_0_0",model="m",version="1"} 1' in text
    assert 'tcli_worker_shared_memory_bytes{instance="m_0_0",model="m",version="1"} 2097152' in text
