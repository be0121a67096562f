"""The parser: from the text of an expression to a program in postfix order.

Postfix programs are checked and evaluated by loops over their instructions, so the depth of an
expression costs no stack. Only the parser recurses, once for each nesting, and nesting is bounded.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from nearline.expressions.tokens import (
    BOOL,
    DOUBLE,
    INT,
    LIST,
    STRING,
    Token,
    Value,
    fault,
    tokens_of,
)

# Bounds of an expression: characters, nesting, and operators, names and values.
MAX_CHARS = 4_096
MAX_DEPTH = 32
MAX_INSTRUCTIONS = 200
# Each of these reads the strings of the whole catalogue.
SEARCHES = ("startsWith", "endsWith", "contains")
MAX_SEARCHES = 5
# Number of parsed expressions that are kept.
PROGRAMS_KEPT = 256

_LEVELS = {"||": 1, "&&": 2, "+": 4, "-": 4, "*": 5, "/": 5, "%": 5}
_LEVELS |= dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 3)
_METHODS = ("startsWith", "endsWith", "contains", "size")
_FUNCTIONS = ("has", "size", "days_since")
_LOGICAL = ("&&", "||", "!", "?:")
_TRUTHS = frozenset(("&&", "||", "!", "==", "!=", "<", "<=", ">", ">=", "in", "has", *_METHODS[:3]))
# Where a name is looked up: fields and attributes of the item, only its attributes, and so on.
ITEM, ATTRIBUTES, USER, CONTEXT = "item", "attributes", "user", "context"
_SCOPES = {name: name for name in (ATTRIBUTES, USER, CONTEXT)}
_RESERVED = frozenset(("null", "as", "break", "const", "else", "for", "function", "if", "import"))

# A constant with its type; that of a list is a tuple of constants.
Constant = tuple[int, Any]


class Instruction(NamedTuple):
    """One step of a program: takes `takes` operands from the stack and puts one on it.

    Attributes
    ----------
    op : str
        Operator or function; "constant", "name", "has", "now", "list" or "kept".
    takes : int
        Number of operands.
    value : object
        A `Constant`; scope and name; or a `Program` whose result is kept.
    at : int
        Index of the character that errors point at.
    """

    op: str
    takes: int
    value: Any
    at: int


class Program(NamedTuple):
    """A parsed expression.

    Attributes
    ----------
    code : tuple of Instruction
        Instructions in postfix order.
    static : bool
        Whether the result depends only on the catalogue.
    key : tuple
        Equal for programs with equal results.
    user_names : frozenset of str
        Attributes of the user that the expression uses.
    timed : bool
        Whether it uses the time of the request.
    """

    code: tuple[Instruction, ...]
    static: bool
    key: tuple[Any, ...]
    user_names: frozenset[str] = frozenset()
    timed: bool = False


class _Part(NamedTuple):
    """A parsed subexpression, whose instructions begin at `first`."""

    first: int
    static: bool
    truth: bool


@lru_cache(PROGRAMS_KEPT)
def parse(text: str) -> Program:
    """Parse an expression.

    Raises
    ------
    InvalidInput
        The expression is too long or not part of the language; the message names the character.

    Notes
    -----
    O(characters). Results of parts that depend only on the catalogue are kept: see `Program`.
    """
    if len(text) > MAX_CHARS:
        raise fault(
            MAX_CHARS,
            f"the expression has {len(text):,} characters; at most {MAX_CHARS:,} are allowed",
        )
    parser = _Parser(tokens_of(text))
    part = parser.choice()
    parser.expect("end", "the end or an operator")
    return _program(parser.code, part.static, parser.user_names, parser.timed)


def _program(
    code: list[Instruction], static: bool, users: frozenset[str] = frozenset(), timed: bool = False
) -> Program:
    key = tuple((i.op, i.takes, i.value.key if i.op == "kept" else i.value) for i in code)
    return Program(tuple(code), static, key, frozenset(users), timed)


def constant_of(value: Value) -> Constant:
    """Return a value with its type."""
    if isinstance(value, str):
        return (STRING, value)
    if isinstance(value, bool):
        return (BOOL, float(value))
    return (INT if isinstance(value, int) else DOUBLE, float(value))


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self.code: list[Instruction] = []
        self.user_names: frozenset[str] = frozenset()
        self.timed = False
        self._tokens = tokens
        self._next = 0
        self._depth = self._searches = 0

    def choice(self) -> _Part:
        """Parse conditions, values and alternatives of ``? :``; a chain takes no recursion."""
        pending = []
        part = self._binary(1)
        while (token := self._peek()).text == "?" and token.kind == "mark":
            self._advance()
            pending.append((part, self._nested(token), token.at))
            self.expect(":", "':' and the value if the condition is false")
            part = self._binary(1)
        for condition, value, at in reversed(pending):
            part = self._emit("?:", [condition, value, part], at)
        return part

    def expect(self, text: str, what: str) -> Token:
        """Take the next token, which must be the mark `text`, or "end"."""
        token = self._peek()
        if token.kind != "end" if text == "end" else token.text != text or token.kind != "mark":
            raise fault(token.at, f"found {_shown(token)}; expected {what}")
        return self._advance()

    def _binary(self, lowest: int) -> _Part:
        left = self._unary()
        while True:
            token = self._peek()
            level = _LEVELS.get(token.text, 0) if token.kind in ("mark", "name") else 0
            if level < lowest or not level:
                return left
            self._advance()
            left = self._emit(token.text, [left, self._binary(level + 1)], token.at)

    def _unary(self) -> _Part:
        signs = []
        while (token := self._peek()).kind == "mark" and token.text in ("!", "-"):
            signs.append(self._advance())
            if len(signs) > MAX_DEPTH:
                raise fault(token.at, f"there are more than {MAX_DEPTH} signs in a row")
        part = self._member()
        for sign in reversed(signs):
            last = self.code[-1]
            if sign.text == "-" and last.op == "constant" and last.value[0] in (INT, DOUBLE):
                self.code[-1] = last._replace(value=(last.value[0], -last.value[1]))
                continue
            part = self._emit("!" if sign.text == "!" else "negative", [part], sign.at)
        return part

    def _member(self) -> _Part:
        part = self._primary()
        while (token := self._peek()).kind == "mark" and token.text == ".":
            self._advance()
            name = self._name("the name of a method")
            if name.text not in _METHODS:
                raise fault(name.at, f"there is no method {name.text:.50}; {_offered(_METHODS)}")
            self.expect("(", "'(' and the argument")
            operands = [part]
            if name.text != "size":
                operands.append(self._nested(name))
            self.expect(")", "')'")
            part = self._emit(name.text, operands, name.at)
        return part

    def _primary(self) -> _Part:
        token = self._advance()
        if token.kind == "constant":
            return self._emit("constant", [], token.at, constant_of(_value_of(token)))
        if token.text == "(" and token.kind == "mark":
            part = self._nested(token)
            self.expect(")", "')'")
            return part
        if token.text == "[" and token.kind == "mark":
            return self._list(token)
        if token.kind == "name" and token.text not in _RESERVED and token.text != "in":
            if self._peek().text == "(" and self._peek().kind == "mark":
                return self._call(token)
            return self._variable(token)
        hint = "; leave out the comparison or use has()" if token.text == "null" else ""
        raise fault(token.at, f"found {_shown(token)}; expected a value{hint}")

    def _call(self, name: Token) -> _Part:
        if name.text not in _FUNCTIONS:
            other = f"; write VALUE.{name.text}(...)" if name.text in _METHODS else ""
            if name.text == "matches":
                other = "; use startsWith, endsWith or contains"
            offered = other or f"; {_offered(_FUNCTIONS)}"
            raise fault(name.at, f"there is no function {name.text:.50}{offered}")
        self._advance()
        if name.text == "has":
            token = self._name("a name")
            scope, attribute = self._path(token)
            self.expect(")", "')'; has takes one name")
            return self._emit("has", [], token.at, (scope, attribute))
        operand = self._nested(name)
        self.expect(")", f"')'; {name.text} takes one value")
        self.timed = self.timed or name.text == "days_since"
        return self._emit(name.text, [operand], name.at)

    def _variable(self, token: Token) -> _Part:
        if token.text == "now":
            self.timed = True
            return self._emit("now", [], token.at)
        scope, name = self._path(token)
        return self._emit("name", [], token.at, (scope, name))

    def _path(self, token: Token) -> tuple[str, str]:
        """Parse what follows `user`, `context` or `attributes`: ``.NAME`` or ``["NAME"]``."""
        scope = _SCOPES.get(token.text)
        if scope is None:
            return ITEM, token.text
        follows = self._peek()
        if follows.kind == "mark" and follows.text == "[":
            self._advance()
            named = self._advance()
            if not isinstance(named.value, str):
                raise fault(named.at, f"found {_shown(named)}; expected a name in quotes")
            self.expect("]", "']'")
            name = named.value
        else:
            self.expect(".", f"'.' and a name, such as {token.text}.country")
            name = self._name("a name").text
        if scope == USER:
            self.user_names |= {name}
        return scope, name

    def _list(self, opening: Token) -> _Part:
        parts: list[_Part] = []
        first = len(self.code)
        while not (self._peek().text == "]" and self._peek().kind == "mark"):
            parts.append(self._nested(opening))
            if self._peek().text != ",":
                break
            self._advance()
        self.expect("]", "',' or ']'")
        if all(one.op == "constant" and one.value[0] != LIST for one in self.code[first:]):
            values = tuple(one.value for one in self.code[first:])
            del self.code[first:]
            return self._emit("constant", [], opening.at, (LIST, values))
        return self._emit("list", parts, opening.at)

    def _nested(self, token: Token) -> _Part:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise fault(token.at, f"the expression is nested more than {MAX_DEPTH} deep")
        part = self.choice()
        self._depth -= 1
        return part

    def _emit(self, op: str, parts: list[_Part], at: int, value: Any = None) -> _Part:
        static = all(part.static for part in parts)
        self._searches += op in SEARCHES
        if self._searches > MAX_SEARCHES:
            raise fault(at, f"at most {MAX_SEARCHES} of {', '.join(SEARCHES)} are allowed")
        if op in ("now", "days_since") or (op in ("name", "has") and value[0] in (USER, CONTEXT)):
            static = False
        if op in _LOGICAL and not static:
            self._keep_static(parts)
        first = parts[0].first if parts else len(self.code)
        self.code.append(Instruction(op, len(parts), value, at))
        if len(self.code) > MAX_INSTRUCTIONS:
            raise fault(at, f"the expression has more than {MAX_INSTRUCTIONS} names and operators")
        return _Part(first, static, op in _TRUTHS)

    def _keep_static(self, parts: list[_Part]) -> None:
        """Replace operands that depend only on the catalogue by programs whose result is kept."""
        end = len(self.code)
        for part in reversed(parts):
            if part.static and part.truth and end - part.first > 1:
                code = self.code[part.first : end]
                program = _program(code, True)
                self.code[part.first : end] = [Instruction("kept", 0, program, code[-1].at)]
            end = part.first

    def _name(self, what: str) -> Token:
        token = self._advance()
        if token.kind != "name":
            raise fault(token.at, f"found {_shown(token)}; expected {what}")
        return token

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _advance(self) -> Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token


def _value_of(token: Token) -> Value:
    if token.value is None:
        raise fault(token.at, "expected a value")
    return token.value


def _shown(token: Token) -> str:
    return token.text if token.kind == "end" else repr(token.text[:30])


def _offered(names: tuple[str, ...]) -> str:
    return f"there are {', '.join(names)}"
