"""Tables of all points and of all windows."""

import numpy as np
import pandas as pd

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.results.rows import point_row, window_row
from tcli_analyzer.results.samples import samples


def points_frame(analysis: Analysis) -> pd.DataFrame:
    """A row a point: those of the search, of the check of its predictions, the finalists again, probes of rates."""
    recommendation = analysis.recommendation
    goal, model = analysis.options.goal, analysis.options.model
    return pd.DataFrame(
        [
            point_row(sample, goal, model, analysis.accuracy.get(sample.point.configuration), recommendation)
            for sample in samples(analysis)
        ]
    )


def windows_frame(analysis: Analysis, latencies: bool = False) -> pd.DataFrame:
    """A row a window.

    Args:
        latencies: also those of all its requests, a list in ms in the order of the answers, each since it was due.
    """
    model = analysis.options.model
    rows = []
    for place, sample in enumerate(samples(analysis)):
        for number, window in enumerate(sample.point.windows.windows):
            row = {"point": place, **window_row(sample, number, window, model)}
            if latencies:
                row["latencies_ms"] = window.latencies_ms.astype(np.float32)
            rows.append(row)
    return pd.DataFrame(rows)
