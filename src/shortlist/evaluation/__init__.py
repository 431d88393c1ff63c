"""Measuring rankers, and the reader behind them: one experiment, its significance, its table and its report."""

from shortlist.evaluation.experiment import Example, Experiment, System
from shortlist.evaluation.report import render_report, write_report
from shortlist.evaluation.runner import Progress, evaluate
from shortlist.evaluation.scaling import Scaling, Setting, open_settings, settings
from shortlist.evaluation.scaling_report import write_scaling_report
from shortlist.evaluation.significance import Comparison, compare, holm, paired_bootstrap, paired_t_test
from shortlist.evaluation.table import print_table

__all__ = [
    "Comparison",
    "Example",
    "Experiment",
    "Progress",
    "Scaling",
    "Setting",
    "System",
    "compare",
    "evaluate",
    "holm",
    "open_settings",
    "paired_bootstrap",
    "paired_t_test",
    "print_table",
    "render_report",
    "settings",
    "write_report",
    "write_scaling_report",
]
