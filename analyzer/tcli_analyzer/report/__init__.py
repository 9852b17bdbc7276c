"""The report: one HTML file that needs nothing else, the same as Markdown, and its charts as pictures."""

from tcli_analyzer.report.markdown import render_markdown
from tcli_analyzer.report.page import render_report
from tcli_analyzer.report.pictures import CHARTS, pictures

__all__ = ["CHARTS", "pictures", "render_markdown", "render_report"]
