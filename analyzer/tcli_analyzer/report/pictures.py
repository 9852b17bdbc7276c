"""The charts of a report as files."""

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.report.sections import sections

CHARTS = ("gains", "front", "heat-map", "rates", "split", "split-loads", "prediction", "disturbances")
"""Names of all that there may be."""


def pictures(analysis: Analysis) -> dict[str, bytes]:
    """PNG files by the chart's name."""
    return {chart.name: chart.png() for section in sections(analysis) for chart in section.charts}
