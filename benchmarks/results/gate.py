"""The language of `--fail-on`: `latency.p90_ms > 50 or drift.ssim_mean < 0.98`.

    expression = term { "or" term }
    term       = factor { "and" factor }
    factor     = "not" factor | "(" expression ")" | comparison
    comparison = operand ( "<" | "<=" | ">" | ">=" | "==" | "!=" ) operand
    operand    = NAME | NUMBER | 'TEXT'

A figure that was not measured makes a comparison unknown, neither true nor false (Kleene's logic):
`unknown or true` is true, `unknown and false` is false, all else stays unknown. An unknown gate
counts as failed, so that a figure that is missing cannot pass.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from edgeanim.benchmarks.results.figures import Value
from edgeanim.core.errors import UsageError
from edgeanim.core.parsing import nearest

Truth = bool | None

MAX_LENGTH = 2000
MAX_DEPTH = 50
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])"
    r"|(?P<text>'[^']*'|\"[^\"]*\")"
    r"|(?P<name>[A-Za-z_][\w.:-]*)"
    r"|(?P<sign><=|>=|==|!=|<|>|\(|\)))"
)
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_WORDS = ("and", "or", "not")
_EXAMPLE = "Write it like: latency.p90_ms > 50 or drift.ssim_mean < 0.98"


class Expression(Protocol):
    """A parsed expression."""

    def truth(self, values: Mapping[str, Value]) -> Truth:
        """Whether it holds; `None` if a figure that it depends on was not measured."""

    def names(self) -> frozenset[str]:
        """The figures it asks for."""

    def picks(self) -> frozenset[tuple[str, str]]:
        """The figures that it compares with a text by `==`, and that text."""


@dataclass(frozen=True)
class Name:
    """A figure by name."""

    name: str


@dataclass(frozen=True)
class Comparison:
    """Two operands, each a figure or a literal."""

    left: Name | float | str
    sign: str
    right: Name | float | str

    def truth(self, values: Mapping[str, Value]) -> Truth:
        left, right = (values[x.name] if isinstance(x, Name) else x for x in self._sides)
        if left is None or right is None:
            return None
        if isinstance(left, str) != isinstance(right, str) or (
            isinstance(left, str) and self.sign not in ("==", "!=")
        ):
            raise UsageError(f"{left!r} and {right!r} cannot be compared by {self.sign!r}.")
        return _COMPARE[self.sign](left, right)

    def names(self) -> frozenset[str]:
        return frozenset(side.name for side in self._sides if isinstance(side, Name))

    def picks(self) -> frozenset[tuple[str, str]]:
        names = [side.name for side in self._sides if isinstance(side, Name)]
        texts = [side for side in self._sides if isinstance(side, str)]
        return frozenset(zip(names, texts, strict=False) if self.sign == "==" else ())

    @property
    def _sides(self) -> tuple[Name | float | str, ...]:
        return self.left, self.right


@dataclass(frozen=True)
class Not:
    """The opposite of `part`."""

    part: Expression

    def truth(self, values: Mapping[str, Value]) -> Truth:
        inner = self.part.truth(values)
        return None if inner is None else not inner

    def names(self) -> frozenset[str]:
        return self.part.names()

    def picks(self) -> frozenset[tuple[str, str]]:
        return self.part.picks()


@dataclass(frozen=True)
class Join:
    """All parts (`and`) or any part (`or`)."""

    word: str
    parts: tuple[Expression, ...]

    def truth(self, values: Mapping[str, Value]) -> Truth:
        # What decides the whole, whatever the other parts are.
        decisive = self.word == "or"
        truths = [part.truth(values) for part in self.parts]
        if decisive in truths:
            return decisive
        return None if None in truths else not decisive

    def names(self) -> frozenset[str]:
        return frozenset[str]().union(*(part.names() for part in self.parts))

    def picks(self) -> frozenset[tuple[str, str]]:
        return frozenset[tuple[str, str]]().union(*(part.picks() for part in self.parts))


@dataclass(frozen=True)
class Gate:
    """A `--fail-on` expression: it *fails* where it holds or cannot be decided."""

    text: str
    expression: Expression

    def failure(self, values: Mapping[str, Value]) -> str | None:
        """Why these figures fail the gate, or `None` if they pass.

        `UsageError` names the nearest figure if one is not in `values`.
        """
        for name in sorted(self.expression.names()):
            if name not in values:
                raise UsageError(
                    f"There is no figure {name!r}.",
                    where=f"--fail-on {self.text}",
                    hint=nearest(name, list(values)),
                )
        try:
            truth = self.expression.truth(values)
        except UsageError as error:
            error.where = f"--fail-on {self.text}"
            raise
        if truth is False:
            return None
        figures = {name: values[name] for name in sorted(self.expression.names())}
        if truth:
            return ", ".join(f"{name} is {_shown(value)}" for name, value in figures.items())
        absent = [name for name, value in figures.items() if value is None]
        verb = "was" if len(absent) == 1 else "were"
        return f"{' and '.join(absent)} {verb} not measured, so the gate cannot be decided"


def parse_gate(text: str) -> Gate:
    """Parse a `--fail-on` expression; `UsageError` shows where it goes wrong."""
    return Gate(text.strip(), _Parser(text).parse())


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > MAX_LENGTH:
            raise UsageError(f"The expression is longer than {MAX_LENGTH} characters.")
        self.tokens: Sequence[tuple[str, str, int]] = self._tokenize()
        self.at = 0
        self.depth = 0

    def parse(self) -> Expression:
        expression = self._join("or", lambda: self._join("and", self._factor))
        if self.at < len(self.tokens):
            self._fail("this does not belong here")
        return expression

    def _tokenize(self) -> Sequence[tuple[str, str, int]]:
        tokens, position, text = [], 0, self.text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                start = position + len(text[position:]) - len(text[position:].lstrip())
                self._fail_at(start, "this is no name, number, text or comparison")
            kind = match.lastgroup
            word = match.group(kind)
            if kind == "name" and word in _WORDS:
                kind = "word"
            tokens.append((kind, word, match.end() - len(word)))
            position = match.end()
        return tokens

    def _join(self, word: str, inner: Callable[[], Expression]) -> Expression:
        parts = [inner()]
        while self._take(word):
            parts.append(inner())
        return parts[0] if len(parts) == 1 else Join(word, tuple(parts))

    def _factor(self) -> Expression:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._fail("this is nested too deeply")
        try:
            if self._take("not"):
                return Not(self._factor())
            if self._take("("):
                inner = self._join("or", lambda: self._join("and", self._factor))
                if not self._take(")"):
                    self._fail("a ')' is missing")
                return inner
            return self._comparison()
        finally:
            self.depth -= 1

    def _comparison(self) -> Expression:
        began = self.tokens[self.at][2] if self.at < len(self.tokens) else len(self.text)
        left = self._operand()
        if self.at == len(self.tokens) or self.tokens[self.at][1] not in _COMPARE:
            self._fail("a comparison (<, <=, >, >=, ==, !=) is needed")
        sign = self.tokens[self.at][1]
        self.at += 1
        right = self._operand()
        if not isinstance(left, Name) and not isinstance(right, Name):
            self._fail_at(began, "neither side is a figure, whose name is written without quotes")
        return Comparison(left, sign, right)

    def _operand(self) -> Name | float | str:
        if self.at == len(self.tokens) or self.tokens[self.at][0] not in ("name", "number", "text"):
            self._fail("the name of a figure, a number or a 'text' is needed")
        kind, word, _ = self.tokens[self.at]
        if kind == "number" and not math.isfinite(float(word)):
            self._fail("this number is too large")
        self.at += 1
        if kind == "number":
            return float(word)
        return Name(word) if kind == "name" else word[1:-1]

    def _take(self, word: str) -> bool:
        if self.at < len(self.tokens):
            kind, found, _ = self.tokens[self.at]
            if kind in ("word", "sign") and found == word:
                self.at += 1
                return True
        return False

    def _fail(self, what: str) -> NoReturn:
        at_end = self.at >= len(self.tokens)
        self._fail_at(len(self.text) if at_end else self.tokens[self.at][2], what)

    def _fail_at(self, position: int, what: str) -> NoReturn:
        rest = self.text[position:].strip()
        place = f"At {rest[:20]!r}" if rest else "At its end"
        raise UsageError(f"{place}: {what}.", where=f"--fail-on {self.text.strip()}", hint=_EXAMPLE)


def _shown(value: Value) -> str:
    if value is None:
        return "not measured"
    return f"{value:.4g}" if isinstance(value, float) else value
