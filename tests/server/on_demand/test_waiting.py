"""The first request for a model loads it and waits; what waits ends like everything else."""

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

import onnx_models
from ensemble_models import ensemble, write_ensemble
from on_demand_models import ROW, Asked, held_up, loaded, on_demand, options, tally, write_identities
from repositories import states, write_model
from sequence_models import sums, sums_config
from tcli_server import Engine
from tcli_server.errors import InvalidArgumentError, NotFoundError, ServerError, UnavailableError
from waiting import until


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_identities(tmp_path, "one", "two", "three")
    return tmp_path


def test_nothing_is_loaded_before_it_is_asked_for(repository: Path):
    with Engine(repository, options=options()) as engine:
        assert engine.ready()
        assert states(engine) == {}
        assert [row.name for row in engine.repository_index().models] == ["one", "three", "two"]
        assert all(engine.model_ready(name) for name in ("one", "two", "three"))
        assert not engine.model_ready("four")
        assert not engine.model_ready("one", "2")
        assert np.array_equal(engine.infer("two", ROW).outputs["OUTPUT0"], ROW["INPUT0"])
        assert states(engine) == {"two/1": "READY"}


def test_many_callers_share_one_load(repository: Path):
    with Engine(repository, options=options()) as engine:
        with held_up(engine, "one"):
            asked = [Asked(engine, "one", {"INPUT0": np.full((1, 4), index, np.float32)}) for index in range(50)]
            assert on_demand(engine).waiting == 50
            assert not any(each.answered for each in asked)
            assert np.array_equal(engine.infer("two", ROW).outputs["OUTPUT0"], ROW["INPUT0"])  # nobody else waits
        for index, each in enumerate(asked):
            assert each.answer().outputs["OUTPUT0"][0, 0] == index
        counted = tally(engine, "one")
        assert (counted.loads, counted.failures, counted.waits) == (1, 0, 50)
        assert counted.wait_ns > counted.load_ns > 0
        assert engine.model("one").statistics.success_count == 50
        assert on_demand(engine).waiting == 0


def test_a_sequence_that_waits_keeps_its_order(tmp_path: Path):
    write_model(tmp_path, "sums", sums(), sums_config())
    with Engine(tmp_path, options=options()) as engine:
        with held_up(engine, "sums"):
            asked = [
                Asked(
                    engine,
                    "sums",
                    {"INPUT": np.full((1, 1), number, np.int32)},
                    sequence_id=7,
                    sequence_start=number == 1,
                    sequence_end=number == 40,
                )
                for number in range(1, 31)
            ]
        # These come while the others are handed over, or after.
        asked += [
            Asked(
                engine,
                "sums",
                {"INPUT": np.full((1, 1), number, np.int32)},
                sequence_id=7,
                sequence_end=number == 40,
            )
            for number in range(31, 41)
        ]
        sums_so_far = np.cumsum(np.arange(1, 41))
        for each, right in zip(asked, sums_so_far, strict=True):
            response = each.answer()
            assert response.error is None
            assert response.outputs["OUTPUT"].ravel()[0] == right


def test_who_gives_up_does_not_wait(repository: Path):
    async def give_up(engine: Engine) -> None:
        task = asyncio.create_task(engine.infer_async("one", ROW))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with Engine(repository, options=options()) as engine:
        with held_up(engine, "one"):
            asked = Asked(engine, "one")
            stays = Asked(engine, "one")
            asyncio.run(give_up(engine))
            assert asked.request.cancel()
            assert asked.error() == "CANCELLED: Request was cancelled"
            assert on_demand(engine).waiting == 1
            assert engine._pending.held == ROW["INPUT0"].nbytes
        assert stays.answer().error is None
        assert engine.model("one").statistics.success_count == 1
        assert engine._pending.held == 0


def test_a_requests_own_timeout_counts(repository: Path):
    with Engine(repository, options=options()) as engine:
        with held_up(engine, "one"):
            stays = Asked(engine, "one")
            expires = Asked(engine, "one", timeout_us=20_000)
            assert expires.error().startswith("UNAVAILABLE: Request timeout expired while it waited for model 'one'")
            assert not stays.answered
        assert stays.answer().error is None


def test_nobody_waits_for_ever(repository: Path):
    with Engine(repository, options=options(load_wait_secs=0.05)) as engine:
        with held_up(engine, "one"):
            assert "Request timeout expired" in Asked(engine, "one").error()
            with pytest.raises(UnavailableError, match="Request timeout expired"):
                engine.model_metadata("one")
        until(lambda: not engine.loading)
        assert loaded(engine) == set()  # it is not loaded for nobody
        engine.load("one")
        assert engine.infer("one", ROW).error is None


def test_who_comes_when_a_load_is_given_up_is_served(repository: Path):
    with Engine(repository, options=options()) as engine:
        for _ in range(30):
            with held_up(engine, "one"):
                gone = Asked(engine, "one")
                gone.request.cancel()
            assert Asked(engine, "one").answer().error is None
            assert engine._control.evict("one") or engine.loading
            until(lambda: not engine.loading)


def test_only_so_many_may_wait(repository: Path):
    with Engine(repository, options=options(load_wait_requests=3)) as engine:
        with held_up(engine, "one", "two"):
            waiting = [Asked(engine, name) for name in ("one", "one", "two")]
            assert Asked(engine, "two").error() == (
                "UNAVAILABLE: 3 requests wait for models to be loaded already (--load-wait-requests): try again later"
            )
            waiting[0].request.cancel()
            waiting.append(Asked(engine, "two"))
        assert all(each.answer().error is None for each in waiting[1:])


def test_what_waits_counts_among_the_bytes_that_are_pending(repository: Path):
    with Engine(repository, options=options()) as engine:
        engine._pending.limit = ROW["INPUT0"].nbytes
        with held_up(engine, "one"):
            waiting = Asked(engine, "one")
            assert "(--max-pending-bytes)" in Asked(engine, "one").error()
        assert waiting.answer().error is None


def test_the_end_refuses_what_waits(repository: Path):
    engine = Engine(repository, options=options())
    engine.start()
    with held_up(engine, "one"):
        asked = Asked(engine, "one")
        engine.begin_shutdown()
        assert asked.error() == "UNAVAILABLE: Server exiting"
        assert Asked(engine, "two").error() == "UNAVAILABLE: Server exiting"
    assert engine.shutdown()
    assert loaded(engine) == set()


def test_a_wrong_request_is_refused_once_the_model_is_there_to_say_so(repository: Path):
    with Engine(repository, options=options()) as engine:
        asked = Asked(engine, "one", {"INPUT0": np.ones((1, 5), np.float32)})
        assert "INVALID_ARG" in asked.error()
        assert engine.infer("one", ROW).error is None


@pytest.mark.parametrize(
    ("name", "version", "kind", "text"),
    [
        ("four", "", NotFoundError, "unknown model: 'four' is not found"),
        ("one", "2", NotFoundError, "unknown model: 'one' version 2 is not found"),
        ("one", "x", InvalidArgumentError, "version string 'x'"),
    ],
)
def test_what_is_not_there_is_not_waited_for(
    repository: Path, name: str, version: str, kind: type[ServerError], text: str
):
    with Engine(repository, options=options()) as engine:
        for _ in range(2):
            with pytest.raises(kind, match=text):
                engine.infer(name, ROW, model_version=version)
            engine.infer("one", ROW)
        assert tally(engine, "one").loads == 1


def test_metadata_and_configuration_load_the_model(repository: Path):
    with Engine(repository, options=options()) as engine:
        assert engine.model_metadata("one").inputs[0].name == "INPUT0"
        assert engine.model_config("two").max_batch_size == 4
        assert loaded(engine) == {"one", "two"}
        with pytest.raises(NotFoundError, match="unknown model: 'four'"):
            engine.model_metadata("four")


def test_statistics_load_nothing(repository: Path):
    with Engine(repository, options=options()) as engine:
        assert list(engine.statistics("one").model_stats) == []
        assert list(engine.statistics().model_stats) == []
        engine.infer("two", ROW)
        assert [stats.name for stats in engine.statistics().model_stats] == ["two"]
        assert loaded(engine) == {"two"}
        with pytest.raises(InvalidArgumentError, match="requested model 'four' is not available"):
            engine.statistics("four")


def test_a_model_that_cannot_be_loaded_answers_all_with_the_reason_and_is_tried_again_later(
    repository: Path, caplog: pytest.LogCaptureFixture
):
    file = repository / "one" / "1" / "model.onnx"
    right = file.read_bytes()
    file.write_bytes(b"broken")
    with Engine(repository, options=options()) as engine:
        with held_up(engine, "one"):
            asked = [Asked(engine, "one") for _ in range(3)]
        for each in asked:
            error = each.error()
            assert error.startswith("UNAVAILABLE: model 'one' could not be loaded: load failed for model 'one': ")
            assert str(file) in error
        assert caplog.text.count("load failed for model 'one'") == 1
        again = Asked(engine, "one").error()
        assert "the next attempt is possible in" in again
        assert tally(engine, "one").failures == 1
        assert not engine.model_ready("one")
        assert engine.ready()
        file.write_bytes(right)
        until(lambda: Asked(engine, "one").answer().error is None)
        assert (tally(engine, "one").failures, tally(engine, "one").loads) == (1, 1)
        assert engine.model_ready("one")


def test_the_pause_grows_and_a_load_request_ends_it(repository: Path):
    file = repository / "one" / "1" / "model.onnx"
    right = file.read_bytes()
    file.write_bytes(b"broken")
    with Engine(repository, options=options()) as engine:
        began = time.monotonic()
        Asked(engine, "one").answer()
        until(lambda: (Asked(engine, "one").answer(), tally(engine, "one").failures == 3)[1])
        assert time.monotonic() - began >= 3  # 1 s, then 2 s
        file.write_bytes(right)
        engine.load("one")
        assert engine.infer("one", ROW).error is None


def test_an_ensemble_brings_its_models(repository: Path):
    write_model(repository, "add_sub", onnx_models.add_sub())
    steps = [("add_sub", {"INPUT0": "A", "INPUT1": "A"}, {"OUTPUT0": "B"})]
    write_ensemble(repository, "inner", ensemble(["A"], ["B"], steps, 4))
    write_ensemble(repository, "outer", ensemble(["A"], ["B"], [("inner", {"A": "A"}, {"B": "B"})], 4))
    with Engine(repository, options=options()) as engine:
        answer = engine.infer("outer", {"A": np.ones((1, 16), np.float32)})
        assert np.array_equal(answer.outputs["B"], np.full((1, 16), 2, np.float32))
        assert loaded(engine) == {"outer", "inner", "add_sub"}
        engine.unload("add_sub")
        row, reason = {"A": answer.outputs["B"]}, "model 'add_sub' was unloaded by request"
        until(lambda: reason in Asked(engine, "outer", row).error())  # just at first that a step is gone, and not why
        engine.load("outer")
        assert engine.infer("outer", {"A": answer.outputs["B"]}).error is None


def test_an_ensemble_whose_step_is_broken_says_so(repository: Path):
    write_model(repository, "broken", b"nope")
    write_ensemble(repository, "pipe", ensemble(["A"], ["B"], [("broken", {"INPUT0": "A"}, {"OUTPUT0": "B"})], 4))
    with Engine(repository, options=options()) as engine:
        assert "broken" in Asked(engine, "pipe", {"A": np.ones((1, 16), np.float32)}).error()
        assert engine.ready()


def test_models_that_come_and_go_on_disk_are_noticed(repository: Path):
    fast = options()
    object.__setattr__(fast, "repository_poll_secs", 0.01)
    with Engine(repository, options=fast) as engine:
        write_identities(repository, "four")
        until(lambda: engine.model_ready("four"))
        assert engine.infer("four", ROW).error is None
        (repository / "one").rename(repository / ".away")
        until(lambda: not engine.model_ready("one"))


def test_a_load_request_goes_on_when_the_requests_give_up_that_came_after_it(tmp_path: Path):
    write_identities(tmp_path, "one")
    with Engine(tmp_path, options=options()) as engine:
        with held_up(engine, "one"):
            by_request = engine.begin_load("one")
            asked = Asked(engine, "one", timeout_us=1000)
            assert "timeout expired" in asked.error()
        assert by_request.exception(60) is None
        assert loaded(engine) == {"one"}


@pytest.mark.parametrize("secs", [1e300, float("inf")])
def test_whoever_waits_for_ever_is_still_told(tmp_path: Path, secs: float):
    write_identities(tmp_path, "one")
    with Engine(tmp_path, options=options(load_wait_secs=secs, idle_unload_secs=secs)) as engine:
        with held_up(engine, "one"):
            asked = Asked(engine, "one")
            assert "timeout expired" in Asked(engine, "one", timeout_us=1000).error()
        assert asked.answer().error is None
