"""Random filters and boosts over a catalogue of 100,000 items: what breaks, and what takes long.

Of three expressions, one follows the grammar, one is a row of words of the language, and one is an
expression of the grammar in which some characters were changed. An expression is a finding if
anything but `InvalidInput` is raised, if a result has the wrong length or values, or if its first
evaluation takes more than 50 ms of processor time. What the first expression that needs it builds,
the columns of fields and the table of strings, is built before.
"""

import gc
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from nearline.bench.plan import Plan
from nearline.errors import InvalidInput
from nearline.expressions import Bindings
from nearline.expressions.checking import MAX_FACTOR
from nearline.schema import Item
from nearline.state import Catalogue

ITEMS = 100_000
SLOW_MS = 50.0
BINDINGS = Bindings({"country": "FR"}, {"hour": 7}, 1.7e9)
NUMBERS = ("price", "weight", "stock", "mixed", "timestamp", "now", "context.hour")
STRINGS = ("brand", "maker", "title", "item_id", "user.country", "mixed")
LISTS = ("tags", "categories", "sizes")
WORDS = (
    *NUMBERS, *STRINGS, *LISTS, "sale", "has(", "size(", "days_since(", ".startsWith(",
    ".contains(", ".endsWith(", ".size()", "1", "2.5", "1e308", "'a'", '"tea"', "true", "null", "[",
    "]", ",", "(", ")", "?", ":", "&&", "||", "!", "==", "!=", "<", ">=", "in", "+", "-", "*", "/",
    "%", "attributes.", "\\", "é", "unknown",
)  # fmt: skip


def catalogue(seed: int) -> Catalogue:
    """Return a catalogue of attributes of all types, with missing values."""
    rng = random.Random(seed)
    made = Catalogue(threading.RLock(), str)
    made.grow(ITEMS)
    for index in range(ITEMS):
        attributes: dict[str, Any] = {
            "price": round(rng.expovariate(0.05), 2),
            "weight": rng.choice((0.0, 0.5, 2.0, 100.0)),
            "stock": rng.randint(-3, 99),
            "brand": f"brand {rng.randint(0, 500)}",
            "maker": f"m{rng.getrandbits(40):x}",
            "tags": [f"t{rng.randint(0, 50)}" for _ in range(rng.randint(0, 4))],
            "sizes": [rng.randint(0, 9) for _ in range(rng.randint(0, 3))],
            "sale": rng.random() < 0.3,
            "mixed": rng.choice((1, 2.5, "tea", True, ["a", 1])),
        }
        entry = Item(
            item_id=f"i{index}",
            timestamp=1e9,
            title=f"item {index} of {rng.getrandbits(30):x}",
            categories=["tea", "a"][: index % 3],
            attributes={name: value for name, value in attributes.items() if rng.random() < 0.8},
        )
        made.put(index, entry)
    return made


class Grammar:
    """Writes random expressions of the language, whose types mostly fit."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def truth(self, depth: int) -> str:
        """Return a filter."""
        rng = self._rng
        if depth <= 0 or rng.random() < 0.3:
            return self._test(depth - 1)
        one, other = self.truth(depth - 1), self.truth(depth - 1)
        return rng.choice(
            (f"({one} && {other})", f"({one} || {other})", f"!({one})", f"({one} ? {other} : sale)")
        )

    def number(self, depth: int) -> str:
        """Return an expression that gives a number."""
        rng = self._rng
        kind = rng.randrange(6 if depth > 0 else 3)
        if kind < 2:
            return rng.choice(NUMBERS)
        if kind == 2:
            return rng.choice(("0", "1", "20.5", "1e300", "-3", "9007199254740991"))
        if kind == 3:
            value, other = self.number(depth - 1), self.number(depth - 1)
            return f"({self.truth(depth - 1)} ? {value} : {other})"
        if kind == 4:
            return rng.choice((f"size({rng.choice(LISTS + STRINGS)})", "days_since(timestamp)"))
        return f"({self.number(depth - 1)} {rng.choice('+-*/%')} {self.number(depth - 1)})"

    def _test(self, depth: int) -> str:
        rng = self._rng
        kind = rng.randrange(7)
        if kind < 2:
            operator = rng.choice(("<", "<=", ">", ">=", "==", "!="))
            return f"{self.number(depth)} {operator} {self.number(depth)}"
        if kind == 2:
            return f"{self._text()} {rng.choice(('<', '>=', '==', '!='))} {self._text()}"
        if kind == 3:
            method = rng.choice(("startsWith", "endsWith", "contains"))
            return f"{self._text()}.{method}({self._literal()})"
        if kind == 4:
            return f"{self._text()} in {rng.choice((*LISTS, '[' + self._literal() + ', 2]'))}"
        if kind == 5:
            return f"has({rng.choice(('price', 'unknown', 'user.country', 'tags'))})"
        return rng.choice(("sale", "available", "true"))

    def _text(self) -> str:
        return self._rng.choice((*STRINGS, self._literal()))

    def _literal(self) -> str:
        return self._rng.choice(('"tea"', "'brand 7'", '"t1"', '""', '"é"', '"m0"'))


def expression(rng: random.Random) -> str:
    """Return a random expression: of the grammar, a row of words, or a damaged one."""
    grammar, kind = Grammar(rng), rng.randrange(3)
    if kind == 1:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 40)))
    depth = rng.randint(0, 8)
    text = grammar.truth(depth) if rng.random() < 0.7 else grammar.number(depth)
    if kind == 2:
        letters = list(text)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(letters))
            letters[at] = rng.choice(("", "(", ")", "'", "\\", "\0", "𝔘", letters[at] * 2))
        text = "".join(letters)
    return text


def attempt(
    evaluate: Callable[[str, Bindings], NDArray[Any]], text: str, most: float
) -> tuple[str, str]:
    """Evaluate an expression; return what came of it, and what was wrong with that, if anything."""
    try:
        found = evaluate(text, BINDINGS)
    except InvalidInput:
        return "refused", ""
    except Exception as error:  # any other is a finding
        return "failed", repr(error)
    valid = len(found) == ITEMS and bool(((found >= 0) & (found <= most)).all())
    return "evaluated", "" if valid else "a wrong result"


def fuzz_expressions(plan: Plan, end: float) -> dict[str, Any]:
    """Evaluate random expressions until a time; return the row of the results."""
    items = catalogue(plan.seed).expressions
    rng, outcomes = random.Random(plan.seed), Counter[str]()
    findings: list[str] = []
    slowest, number = 0.0, 0
    items.mask('title == "" || item_id == "" || available || timestamp < 0 || expires_at < 0')
    items.mask('title.contains("x") || size(title) == 0 || title < "a" || days_since(title) == 0')
    gc.freeze()  # as the server does, so that collections do not visit the catalogue
    while time.perf_counter() < end:
        text = expression(rng)
        for kind, evaluate in (("filter", items.mask), ("boost", items.factors)):
            begin = time.thread_time()
            outcome, problem = attempt(evaluate, text, 1.0 if kind == "filter" else MAX_FACTOR)
            took = 1e3 * (time.thread_time() - begin)
            outcomes[f"{kind} {outcome}"] += 1
            slowest = max(slowest, took)
            if not problem and took > SLOW_MS:
                problem = f"{took:.0f} ms"
            if problem:
                findings.append(f"input {number}, {kind}: {problem}: {text!r}")
        number += 1
    return {
        "inputs": number,
        "outcomes": dict(outcomes.most_common()),
        "slowest_ms": round(slowest, 1),
        "findings": findings,
    }
