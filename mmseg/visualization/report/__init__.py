"""One HTML page about one run or several."""

from mmseg.visualization.report.page import build_page, check_numbers

__all__ = ["build_page", "check_numbers"]
