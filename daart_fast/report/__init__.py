"""One html file about a model, or several side by side, that needs nothing else to be looked at."""

from daart_fast.report.page import check_output, write_report

__all__ = ["check_output", "write_report"]
