"""The report: one HTML file that needs nothing else."""

from tcli_analyzer.report.page import render_report

__all__ = ["render_report"]
