"""A model over a Ray dataset of one's own."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tcli_batch.answering import JobOptions
from tcli_batch.asking import Asking
from tcli_batch.block import Answers
from tcli_batch.errors import DataError
from tcli_batch.mapping import map_columns
from tcli_batch.outputs import Layout
from tcli_batch.outputs.parquet_table import schema_of, table_of
from tcli_batch.ranking import Ranking
from tcli_batch.ray_data.cluster import ray_module
from tcli_batch.ray_data.worker import load, take_cores
from tcli_batch.reading import fit_chunk
from tcli_batch.results import Results
from tcli_batch.signature import read_signature
from tcli_batch.sources import Chunk
from tcli_batch.sources.parquet_file import as_column
from tcli_client.tensors import Array

ERROR = "error"
"""The column that says why a row has no answer."""


def infer(
    dataset: Any,
    repository: str | os.PathLike[str],
    model: str,
    *,
    version: str = "",
    columns: Mapping[str, str | Sequence[str]] | None = None,
    classes: int = 0,
    raw: bool = True,
    cores: int = 1,
    actors: int | tuple[int, int] = 1,
    batch_rows: int = 1024,
    **remote: Any,
) -> Any:
    """A dataset with the answers of a model beside its columns.

        import ray
        from tcli_batch.ray_data import infer

        rows = ray.data.read_parquet("s3://bucket/rows")
        infer(rows, "/shared/model_repository", "add_sub", columns={"INPUT0": "a", "INPUT1": "b"}, actors=4).write_parquet("sums")

    Each output is a column of its name, of its ranked classes where only these are wanted; `NAME_classes` where both are. A row that does not fit the
    model has no values there, and the reason in the column `error`, which is null for all others.

    Args:
        repository: of models; each node must find it there.
        version: of the model; empty for the highest that is ready.
        columns: input -> its column, or several side by side; where nothing is said, by their names.
        classes: how many of the highest classes to give for each row; 0 for none.
        raw: give the output tensors.
        cores: of each actor; the engine has as many threads.
        actors: how many, or the fewest and the most; each holds the model.
        batch_rows: rows that an actor takes at a time; requests are formed to the model's limit.
        remote: what else `Dataset.map_batches` takes, such as `num_gpus`.

    Returns:
        A `ray.data.Dataset`, which is not executed yet. Where it is, Ray raises a `DataError` for columns that do not go
        with the model, and a `JobError` if the model does not load.

    Raises:
        JobError: Ray is not installed.
    """
    ray_module()
    from ray.data import ActorPoolStrategy

    given = {name: (taken,) if isinstance(taken, str) else tuple(taken) for name, taken in (columns or {}).items()}
    options = JobOptions(model, version, given, classes=classes, raw=raw or not classes)
    fewest, most = (actors, actors) if isinstance(actors, int) else actors
    return dataset.map_batches(
        Predictor,
        fn_constructor_args=(os.fspath(repository), options, cores),
        batch_size=batch_rows,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=fewest, max_size=most),
        num_cpus=cores,
        **remote,
    )


class Predictor:
    """An actor: holds the model, and answers tables of rows."""

    def __init__(self, repository: str, options: JobOptions, cores: int) -> None:
        take_cores(cores)
        self._server = load(repository, options.model, options.version)
        self._options = options
        self._signature = read_signature(self._server, options.model, options.version)
        self._ranking = Ranking(self._signature, options.classes)
        self._layout = Layout(self._signature.outputs, options.raw, self._ranking.counts)

    def __call__(self, rows: Any) -> Any:
        import pyarrow

        found, refused = [schema_of(self._layout).empty_table()], dict[int, str]()
        mapping = map_columns(self._signature, rows.column_names, self._options.given, "the dataset")
        wanted = {column for group in mapping.values() for column in group}
        chunk = Chunk(0, rows.num_rows, {name: _cells(rows.column(name)) for name in wanted})
        blocks = fit_chunk(self._signature, chunk, mapping, "", 0)
        with Asking(self._server, self._signature, self._options.requests) as asking:
            for answers in asking.answers(blocks):
                refused |= {refusal.index: refusal.reason for refusal in answers.refusals}
                if len(answers):
                    found.append(self._table(answers, asking))
        answered = pyarrow.concat_tables(found)
        places: list[int | None] = [None] * rows.num_rows
        for place, index in enumerate(answered.column("index").to_pylist()):
            places[index] = place
        spread = answered.drop_columns(["source", "index"]).take(pyarrow.array(places, pyarrow.int64()))
        reasons = pyarrow.array([refused.get(index) for index in range(rows.num_rows)], pyarrow.string())
        for name, column in zip([*spread.column_names, ERROR], [*spread.columns, reasons], strict=True):
            if name in rows.column_names:
                raise DataError(
                    f"the dataset has a column '{name}', as the answers have",
                    "dataset.rename_columns gives it another name",
                )
            rows = rows.append_column(name, column)
        return rows

    def _table(self, answers: Answers, asking: Asking) -> Any:
        classes = self._ranking.rank(answers, asking.ask)
        tensors = dict(answers.outputs) if self._options.raw else {}
        results = Results(answers.sources, answers.indices, tensors, classes)
        self._layout.check(results)
        return table_of(results, self._layout)


def _cells(column: Any) -> "Array | list[Any]":
    """A column of Ray's as the values of its rows."""
    import pyarrow

    whole = column.combine_chunks()
    if isinstance(whole, pyarrow.ChunkedArray):
        whole = whole.chunk(0) if whole.num_chunks == 1 else pyarrow.concat_arrays(whole.chunks)
    if isinstance(whole.type, pyarrow.BaseExtensionType):  # tensors: Ray's type, or Arrow's
        values: Array = whole.to_numpy_ndarray() if hasattr(whole, "to_numpy_ndarray") else whole.to_numpy(False)
        return values if not values.dtype.hasobject else list(values)
    return as_column(whole)
