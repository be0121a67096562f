"""Random expressions in two forms: Nearline's, and CEL in which missing values are guarded.

In Nearline a comparison with a missing value is false. In CEL it is an error, so each comparison of
the CEL form stands behind `has` for every attribute that it reads and a test of every divisor.
"""

import json
import random
from typing import NamedTuple

Row = dict[str, object]
BRANDS = ["own", "x", "Ünï", 'it\'s "q"', "", "xy"]
TAGS = ["tea", "tee", "hot", "x"]


class Pair(NamedTuple):
    """An expression in both forms, and the guards of the second one."""

    ours: str
    cel: str
    guards: tuple[str, ...] = ()


def random_row(rng: random.Random) -> Row:
    """Return the attributes of an item, some of which are missing."""
    row: Row = {
        "price": rng.choice([0.0, 1.5, 2.0, 9.99, -3.25, 20.0]),
        "weight": rng.choice([0.0, 0.5, 2.0, 100.0]),
        "stock": rng.randint(-3, 9),
        "year": rng.choice([0, 1999, 2024]),
        "brand": rng.choice(BRANDS),
        "maker": rng.choice(BRANDS),
        "tags": rng.sample(TAGS, rng.randint(0, 3)),
        "sizes": [rng.randint(0, 5) for _ in range(rng.randint(0, 3))],
        "sale": rng.random() < 0.5,
    }
    return {name: value for name, value in row.items() if rng.random() < 0.8}


class Writer:
    """Writes random expressions whose operators have operands of one type, as CEL asks for."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def truth(self, depth: int) -> Pair:
        """Return an expression that is true or false for every item."""
        kinds = [self.comparison, self.comparison, self.membership, self.search, self.simple]
        if depth > 0:
            kinds += [self.logic, self.logic, self.logic, self.negation, self.conditional]
        return self.rng.choice(kinds)(depth - 1)

    def logic(self, depth: int) -> Pair:
        op, parts = self.rng.choice(["&&", "||"]), [self.truth(depth) for _ in range(2)]
        one, other = parts
        return Pair(f"({one.ours} {op} {other.ours})", f"({one.cel} {op} {other.cel})")

    def negation(self, depth: int) -> Pair:
        part = self.truth(depth)
        return Pair(f"!({part.ours})", f"!({part.cel})")

    def conditional(self, depth: int) -> Pair:
        parts = [self.truth(depth) for _ in range(3)]
        ours, cel = zip(*(part[:2] for part in parts), strict=True)
        return Pair("({} ? {} : {})".format(*ours), "({} ? {} : {})".format(*cel))

    def simple(self, _: int) -> Pair:
        name = self.rng.choice(["price", "stock", "brand", "tags", "sale", "nothing"])
        if self.rng.random() < 0.5:
            return Pair(f"has({name})", f"has(item.{name})")
        if self.rng.random() < 0.3:
            return literal(self.rng.random() < 0.5)
        return Pair("sale", "(has(item.sale) && item.sale)")

    def comparison(self, depth: int) -> Pair:
        value = self.rng.choice([self.double, self.whole, self.string])
        op = self.rng.choice(["==", "!=", "<", "<=", ">", ">="])
        left, right = value(depth), value(depth)
        if op in ("<", "<=", ">", ">=") and value == self.string and left.guards:
            right = literal(self.rng.choice(BRANDS))  # of two strings, one may depend on the item
        return guarded("{} " + op + " {}", left, right)

    def membership(self, depth: int) -> Pair:
        which = self.rng.randrange(4)
        if which == 0:
            return guarded("{} in {}", self.string(depth), attribute("tags"))
        if which == 1:
            return guarded("{} in {}", self.whole(depth), attribute("sizes"))
        value = self.string if which == 2 else self.whole
        values = [value(-1) for _ in range(self.rng.randint(0, 6))]
        wanted = value(depth)
        equal = [guarded("{} == {}", wanted, one).cel for one in values]
        return Pair(
            f"({wanted.ours} in [{', '.join(one.ours for one in values)}])",
            f"({' || '.join(equal) or 'false'})",
        )

    def search(self, _: int) -> Pair:
        method = self.rng.choice(["startsWith", "endsWith", "contains"])
        part = literal(self.rng.choice(["", "x", "Ü", "own", "q"]))
        return guarded(
            "{}." + method + "({})", attribute(self.rng.choice(["brand", "maker"])), part
        )

    def double(self, depth: int) -> Pair:
        if depth < 0 or self.rng.random() < 0.4:
            if self.rng.random() < 0.4:
                return literal(self.rng.choice([0.0, 1.5, 2.0, 100.0, 1e-3]))
            return attribute(self.rng.choice(["price", "weight"]))
        return self.calculated(self.double, depth, ["+", "-", "*", "/"], "0.0")

    def whole(self, depth: int) -> Pair:
        if depth < 0 or self.rng.random() < 0.4:
            if self.rng.random() < 0.4:
                return literal(self.rng.randint(0, 5))
            return attribute(self.rng.choice(["stock", "year"]))
        if self.rng.random() < 0.2:
            return both("size({})", attribute(self.rng.choice(["tags", "brand"])))
        return self.calculated(self.whole, depth, ["+", "-", "*", "/", "%"], "0")

    def calculated(self, value, depth: int, operators: list[str], zero: str) -> Pair:  # type: ignore[no-untyped-def]
        left, right = value(depth - 1), value(depth - 1)
        which = self.rng.random()
        if which < 0.2:
            return both("-({})", left)
        if which < 0.35:
            test = self.truth(0)
            chosen = [" && ".join(part.guards) or "true" for part in (left, right)]
            return Pair(
                f"({test.ours} ? {left.ours} : {right.ours})",
                f"({test.cel} ? {left.cel} : {right.cel})",
                (f"({test.cel} ? {chosen[0]} : {chosen[1]})",),
            )
        op = self.rng.choice(operators)
        found = both("({} " + op + " {})", left, right)
        if op in "/%":
            found = found._replace(guards=(*found.guards, f"{right.cel} != {zero}"))
        return found

    def string(self, depth: int) -> Pair:
        if depth < 0 or self.rng.random() < 0.5:
            return literal(self.rng.choice(BRANDS + TAGS))
        return attribute(self.rng.choice(["brand", "maker"]))


def literal(value: object) -> Pair:
    """Return a literal, which is written the same way in both languages."""
    text = json.dumps(value)
    return Pair(text, text)


def attribute(name: str) -> Pair:
    """Return an attribute of the item."""
    return Pair(name, f"item.{name}", (f"has(item.{name})",))


def both(form: str, *parts: Pair) -> Pair:
    """Return an expression of the same form in both languages, with the guards of its parts."""
    guards = tuple(guard for part in parts for guard in part.guards)
    return Pair(form.format(*(p.ours for p in parts)), form.format(*(p.cel for p in parts)), guards)


def guarded(form: str, *parts: Pair) -> Pair:
    """Return an expression that is false where a guard of a part is."""
    found = both(form, *parts)
    return Pair(f"({found.ours})", "(" + " && ".join((*found.guards, found.cel)) + ")")
