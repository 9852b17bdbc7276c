"""What was measured and found as tables: rows of points and of windows, and one JSON document with everything."""

from tcli_analyzer.results.document import results_document
from tcli_analyzer.results.frames import points_frame, windows_frame
from tcli_analyzer.results.rows import point_row, window_row
from tcli_analyzer.results.samples import Sample, Stage, samples

__all__ = [
    "Sample",
    "Stage",
    "point_row",
    "points_frame",
    "results_document",
    "samples",
    "window_row",
    "windows_frame",
]
