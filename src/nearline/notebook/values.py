"""HTML of lists, explanations and jobs.

The arguments are values of `nearline.schema` and `nearline.jobs`, whose packages stand above this
one; only their attributes are used.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Protocol

from nearline.notebook.html import (
    Bar,
    Share,
    colour_of,
    figures,
    legend,
    score_bar,
    table,
    wrap,
)

Title = Callable[[str], str]


class _AmountOf(Protocol):
    @property
    def source(self) -> str: ...
    @property
    def relation(self) -> str: ...
    @property
    def amount(self) -> float: ...


class _HasScore(Protocol):
    @property
    def item_id(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def fields(self) -> Mapping[str, object]: ...


class _ListLine(_HasScore, Protocol):
    @property
    def tier(self) -> str: ...
    @property
    def reasons(self) -> Sequence[_AmountOf]: ...


def no_title(_: str) -> str:
    """Return no title."""
    return ""


def shares_of(parts: Sequence[_AmountOf], total: float) -> list[Share]:
    """Sum parts by relation, largest first, and add the rest of the score."""
    sums: dict[str, float] = {}
    for part in parts:
        sums[part.relation] = sums.get(part.relation, 0.0) + part.amount
    found = [Share(name, amount, colour_of(name)) for name, amount in sums.items()]
    found.sort(key=lambda share: -abs(share.amount))
    rest = total - sum(sums.values())
    if parts and abs(rest) > 1e-6 * abs(total):
        found.append(Share("smaller parts", rest, "#b4bcc7"))
    return found


def named(item_id: str, title: Title) -> Bar:
    """Return an item by its title, with its ID below."""
    text = title(item_id)
    if not text or text == item_id:
        return Bar(escape(item_id))
    return Bar(f"{escape(text)} <code style='opacity:.7;font-size:11px'>{escape(item_id)}</code>")


def list_html(
    caption: str, lines: Sequence[_ListLine], about: Iterable[tuple[str, object]], title: Title
) -> str:
    """Return a list of recommendations with titles, tiers and bars of the parts of each score."""
    most = max((abs(line.score) for line in lines), default=0.0)
    relations: dict[str, None] = {}
    rows = []
    extra = _extra(lines)
    for place, line in enumerate(lines, start=1):
        relations.update({part.relation: None for part in line.reasons})
        shares = shares_of(line.reasons, line.score) or [Share(line.tier, line.score, "#7c8a9c")]
        because = (named(part.source, title) for part in line.reasons[:1] if part.source)
        rows.append(
            [
                place,
                named(line.item_id, title),
                *(line.fields.get(name, "") for name in extra),
                line.tier,
                score_bar(shares, most),
                f"{line.score:.4g}",
                next(because, Bar("")),
            ]
        )
    if not rows:
        return wrap(caption, figures([("no items", ""), *about]))
    head = ["#", "item", *extra, "tier", "", "score", "because of"]
    numbers = (0, 4 + len(extra))
    if not relations:
        head, rows = head[:-1], [row[:-1] for row in rows]
    key = legend(relations) if relations else ""
    return wrap(caption, key, table(head, rows, numbers), figures(about))


def scores_html(lines: Sequence[_HasScore], title: Title) -> str:
    """Return items with their scores."""
    most = max((abs(line.score) for line in lines), default=0.0)
    extra = _extra(lines)
    rows = [
        [
            place,
            named(line.item_id, title),
            *(line.fields.get(name, "") for name in extra),
            score_bar([Share("score", line.score, colour_of("transitions"))], most),
            f"{line.score:.4g}",
        ]
        for place, line in enumerate(lines, start=1)
    ]
    return wrap("", table(["#", "item", *extra, "", "score"], rows, (0, 3 + len(extra))))


def _extra(lines: Sequence[_HasScore]) -> list[str]:
    """Return the names of the fields of the lines, without the title."""
    found = {name: None for line in lines for name in line.fields}
    return [name for name in found if name != "title"]


class _HasParts(Protocol):
    @property
    def user_id(self) -> str: ...
    @property
    def item_id(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def tier(self) -> str: ...
    @property
    def words(self) -> str: ...
    @property
    def parts(self) -> Sequence[_AmountOf]: ...


def explanation_html(of: _HasParts, title: Title) -> str:
    """Return the parts of a score, which sum to it."""
    most = max((abs(part.amount) for part in of.parts), default=0.0)
    rows = [
        [
            named(part.source, title) if part.source else "",
            part.relation,
            score_bar([Share(part.relation, part.amount, colour_of(part.relation))], most),
            f"{part.amount:.4g}",
        ]
        for part in of.parts
    ]
    caption = f"Why {title(of.item_id) or of.item_id} for {of.user_id}"
    about = [("score", f"{of.score:.4g}"), ("tier", of.tier), ("parts", len(of.parts))]
    words = f"<p style='margin:4px 0'>{escape(of.words)}</p>" if of.words else ""
    return wrap(
        caption, words, table(["because of", "relation", "", "amount"], rows, (3,)), figures(about)
    )


class _JobStatus(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def what(self) -> str: ...
    @property
    def message(self) -> str: ...


_STATES = {"done": "#10a37f", "running": "#3b82f6", "failed": "#d6453d", "refused": "#d18b16"}


def job_html(job: _JobStatus) -> str:
    """Return the state of a job, with a bar of its progress while it runs."""
    colour = _STATES.get(job.state, "#7c8a9c")
    badge = (
        f"<span style='border:1px solid {colour};border-radius:9px;padding:0 8px;font-size:12px'>"
        f"{escape(job.state)}</span> <b>{escape(job.kind)}</b> "
    )
    text = escape(job.message or job.what)
    bar = ""
    if job.state == "running" and job.total:
        share = Share(job.what or "done", job.done / job.total, colour)
        bar = score_bar([share], 1.0, width=240) + f" {job.done:,} of {job.total:,}"
    return wrap("", f"<div>{badge}{text}</div>", f"<div>{bar}</div>" if bar else "")
