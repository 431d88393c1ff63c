"""Measuring rankers, and the reader behind them: one experiment, its significance, its table and its report."""

from shortlist.evaluation.experiment import Example, Experiment, System
from shortlist.evaluation.report import render_report, write_report
from shortlist.evaluation.runner import Progress, evaluate
from shortlist.evaluation.significance import Comparison, compare, holm, paired_bootstrap, paired_t_test
from shortlist.evaluation.table import print_table

__all__ = [
    "Comparison",
    "Example",
    "Experiment",
    "Progress",
    "System",
    "compare",
    "evaluate",
    "holm",
    "paired_bootstrap",
    "paired_t_test",
    "print_table",
    "render_report",
    "write_report",
]
