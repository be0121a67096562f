"""HTML of lists, explanations, reports and jobs, which notebooks show (`_repr_html_`).

The functions return fragments without scripts and without references to other files. All text that
comes from data is escaped.
"""

from nearline.notebook.html import Bar, figures, interval_bar, score_bar, table, tiles, wrap
from nearline.notebook.values import explanation_html, job_html, list_html, scores_html

__all__ = [
    "Bar",
    "explanation_html",
    "figures",
    "interval_bar",
    "job_html",
    "list_html",
    "score_bar",
    "scores_html",
    "table",
    "tiles",
    "wrap",
]
