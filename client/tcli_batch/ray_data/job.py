"""One batch job on a Ray cluster."""

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from tcli_batch.answering import JobOptions
from tcli_batch.errors import DataError, JobError, StoppedError
from tcli_batch.job import Summary
from tcli_batch.parts import Progress
from tcli_batch.ray_data.cluster import Cluster, ray_module
from tcli_batch.ray_data.output import Output
from tcli_batch.ray_data.shares import Share
from tcli_batch.ray_data.worker import Plan, Task, Worker, plan, share_columns
from tcli_batch.sources.kinds import DataFile
from tcli_client import ClientError

_AT_A_TIME = 2
"""Shares that an actor works at: one begins while another one's part is written."""

_WAITS_SECONDS = (1, 2, 5, 10, 20)
"""How long to wait before each new pass, where the last one came to nothing: it takes Ray some seconds to notice a lost node."""


class RayJob:
    """Data through a model, on a cluster.

        with connected("head:6379") as cluster:
            job = RayJob(cluster, "/shared/model_repository", find_data(["s3://bucket/rows"]), JobOptions("add_sub"))
            print(job.run("s3://bucket/sums.parquet"))

    Args:
        repository: of models; each node must find it there.
        files: each node must find them, too.
        mapped: INPUT=COLUMN as on a command line, instead of the options' `given`.
        choose_classes: give as many as suit the data and the model, instead of the options' `classes`.

    Attributes:
        signature: of the model.
        total: rows, about where only reading all would tell; 0 where nothing is known.
        mapping: input -> columns, of the first file that has columns.

    Raises:
        DataError: the data does not go with the model, or the options do not.
        JobError: the model does not load.
    """

    def __init__(
        self,
        cluster: Cluster,
        repository: str,
        files: Sequence[DataFile],
        options: JobOptions,
        mapped: Sequence[str] = (),
        choose_classes: bool = False,
    ) -> None:
        self._ray = ray_module()
        self._cluster = cluster
        folder = os.getcwd()  # noqa: PTH109
        self._task = Task(folder, repository, files, options, mapped, choose_classes, cluster.cores)
        remote = self._ray.remote(num_cpus=cluster.cores, max_calls=1)(plan)  # a process of its own, as it changes it
        found: Plan | ClientError = self._ray.get(remote.remote(self._task))
        if isinstance(found, ClientError):
            raise found
        self._plan = found
        self.signature, self.total, self.mapping = found.signature, found.total, found.mapping

    def run(
        self,
        out: str,
        resume: bool = False,
        overwrite: bool = False,
        progress: Callable[[Progress], None] = lambda _: None,
        lost: Callable[[int], None] = lambda _: None,
        stop: threading.Event | None = None,
    ) -> Summary:
        """Write the results into a folder of parts, whose names are in the order of the data.

        Args:
            out: a folder that all nodes share, or an address; its ending says the form.
            resume: go on with a job that did not come to its end, if there is one.
            overwrite: begin anew whatever is there.
            progress: called when a share of the rows is answered.
            lost: called with the number of shares whose nodes were lost, before these are given to others.
            stop: set from another thread or a signal's handler, ends it soon.

        Raises:
            StoppedError: `stop` was set.
            JobError: something is there already or cannot be written, or nodes are lost again and again; what was answered
                is kept.
            DataError: a node does not see the data, or a file cannot be read on.
        """
        began = time.monotonic()
        output = Output(out)
        try:
            done = self._before(output, resume, overwrite)
            before = sum(rows for rows, _ in done.values())
            self._answer(output, done, progress, lost, stop or threading.Event())
            output.finish()
        except OSError as problem:
            raise JobError(f"'{out}' cannot be written: {problem}") from None
        rows, refused = (sum(counts) for counts in zip(*done.values(), strict=True)) if done else (0, 0)
        return Summary(rows, refused, before, time.monotonic() - began)

    def _before(self, output: Output, resume: bool, overwrite: bool) -> dict[int, tuple[int, int]]:
        journal = {
            "format": 1,
            "engine": "ray",
            **self._plan.identity,
            "output_form": output.suffix,
            "shares": len(self._plan.shares),
        }
        if resume and output.unfinished:
            return output.resume(journal)
        if not overwrite and output.unfinished:
            raise JobError(
                f"an unfinished job for '{output.out}' is there", "--resume goes on with it, --overwrite begins anew"
            )
        if not overwrite and output.written:
            raise JobError(f"'{output.out}' is there already", "--overwrite replaces it")
        output.begin(journal)
        return {}

    def _answer(
        self,
        output: Output,
        done: dict[int, tuple[int, int]],
        progress: Callable[[Progress], None],
        lost: Callable[[int], None],
        stop: threading.Event,
    ) -> None:
        waits = iter(_WAITS_SECONDS)
        while left := [share for share in self._plan.shares if share.number not in done]:
            for number, rows, refused in self._pass(left, output.out, stop):
                done[number] = rows, refused
                progress(Progress(sum(rows for rows, _ in done.values()), sum(bad for _, bad in done.values())))
            done |= output.done()  # with those whose node was lost before it could tell
            still = sum(share.number not in done for share in left)
            if still:
                lost(still)
            if still < len(left):
                waits = iter(_WAITS_SECONDS)
            elif stop.wait(_next(waits, still)):
                raise StoppedError

    def _pass(self, shares: Sequence[Share], out: str, stop: threading.Event) -> Iterator[tuple[int, int, int]]:
        """Number, rows and refused rows of the shares, as they are done; those that are lost with a node are missing."""
        results: list[dict[str, Any]] = []
        arrived, ended = threading.Event(), threading.Event()
        problems: list[BaseException] = []

        def run() -> None:
            try:
                # Nothing is fetched ahead, or a share would be told of only when the next one is done.
                told = self._dataset(shares, out).iter_batches(
                    batch_size=None, batch_format="pyarrow", prefetch_batches=0
                )
                for rows in told:
                    results.extend(rows.to_pylist())
                    arrived.set()
            except BaseException as problem:
                problems.append(problem)
            ended.set()
            arrived.set()

        threading.Thread(target=run, name="ray job", daemon=True).start()
        taken = 0
        while True:
            finished = ended.is_set()
            while taken < len(results):
                row = results[taken]
                taken += 1
                if row["problem"]:
                    kind = DataError if row["of_data"] else JobError
                    raise kind(row["problem"], row["fix"])
                yield row["share"], row["rows"], row["refused"]
            if stop.is_set():
                raise StoppedError
            if finished:
                break
            arrived.wait(0.2)
            arrived.clear()
        if problems and not isinstance(problems[0], self._ray.exceptions.RayError):  # which are lost actors
            raise JobError(f"Ray gave up: {problems[0]}", "--resume goes on with what is done") from problems[0]

    def _dataset(self, shares: Sequence[Share], out: str) -> Any:
        task, cluster = self._task, self._cluster
        task = replace(task, options=self._plan.options)
        place = out if "://" in out else os.path.abspath(out)  # noqa: PTH100
        rows = self._ray.data.from_items(share_columns(shares), override_num_blocks=len(shares))
        with warnings.catch_warnings(action="ignore"):  # of what ends with the Ray that we do not take
            dataset = self._mapped(rows, (task, place), min(cluster.actors, len(shares)))
        dataset.context.max_errored_blocks = -1
        dataset.context.enable_progress_bars = False
        return dataset

    def _mapped(self, rows: Any, arguments: tuple[Task, str], actors: int) -> Any:
        from ray.data import ActorPoolStrategy

        return rows.map_batches(
            Worker,
            fn_constructor_args=arguments,
            batch_size=1,
            batch_format="numpy",
            compute=ActorPoolStrategy(
                min_size=1,
                max_size=actors,
                initial_size=actors,
                max_tasks_in_flight_per_actor=_AT_A_TIME,
                max_concurrent_calls_per_actor=_AT_A_TIME,
                enable_true_multi_threading=True,
            ),
            num_cpus=self._cluster.cores,
            # An actor that is lost is not waited for, as its node may never come back: its shares are given to others in
            # the next pass. Ray's own restarts would wait for room.
            max_restarts=0,
            max_task_retries=0,
        )


def _next(waits: Iterator[float], still: int) -> float:
    for seconds in waits:
        return seconds
    raise JobError(
        f"{still} shares of the data were lost with their nodes {len(_WAITS_SECONDS) + 1} times in a row",
        "--resume goes on with what is done; Ray's logs say why its actors died, often for want of memory",
    )
