"""The algebra of norms: quantities made of a tensor X, its mean m and its variance v over the spatial axes.

A quantity is a sum of terms  c * X^x * m^i * v^j * (v + epsilon)^r * n^k * a..,  where n is the number of elements that
the statistics are taken of, c is a number or a value a channel, and each a is a tensor that does not vary over the
spatial axes. What computes  a * (X - m) * (v + epsilon)^(-1/2) + b  in any way is an instance norm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Coefficient = float | npt.NDArray[np.float64]  # one number, or one a channel: [C]

# Below this part of what was added, a sum counts as zero: constants such as 1/n were rounded to float32.
_ROUNDING = 1e-6
_MAX_TERMS = 24  # a quantity of a norm has ten; more come of a polynomial that is none
_MAX_POWER = 4


class NotMoments(Exception):  # noqa: N818 - not an error: it says why a tensor is no quantity
    """Why a tensor is none of the quantities that a norm is made of."""


class Term(NamedTuple):
    """The exponents of one term. `averaged` are those spatial axes over which X^x was averaged, if not over all.

    `atoms` are (tensor's key, exponent) pairs, sorted.
    """

    x: int = 0
    m: int = 0
    v: int = 0
    r: float = 0
    n: float = 0
    averaged: frozenset[int] = frozenset()
    atoms: tuple[tuple[int, float], ...] = ()


ONE = Term()


@dataclass(frozen=True)
class Moments:
    """A quantity: its terms, and the epsilon of its (v + epsilon), None where it has none."""

    terms: Mapping[Term, Coefficient] = field(default_factory=dict)
    epsilon: float | None = None

    def is_constant(self) -> bool:
        """Say whether nothing of it depends on X."""
        return all(term._replace(atoms=(), n=0) == ONE for term in self.terms)


X = Moments({Term(x=1): 1.0})
COUNT = Moments({Term(n=1): 1.0})


def number(value: float | npt.NDArray[Any]) -> Moments:
    """Return a constant: one number, or one a channel."""
    return _settled({ONE: float(value) if np.ndim(value) == 0 else np.asarray(value, dtype=np.float64)}, None)


def atom(key: int) -> Moments:
    """Return the tensor `key`, which does not vary over the spatial axes."""
    return Moments({Term(atoms=((key, 1),)): 1.0})


def plus(one: Moments, other: Moments, sign: float = 1.0) -> Moments:
    """Return one + sign * other."""
    terms = dict(one.terms)
    for term, coefficient in other.terms.items():
        _add(terms, term, sign * coefficient)
    return _settled(terms, _common_epsilon(one, other))


def times(one: Moments, other: Moments) -> Moments:
    """Return the product."""
    terms: dict[Term, Coefficient] = {}
    for first, a in one.terms.items():
        for second, b in other.terms.items():
            _add(terms, _product(first, second), a * b)
    return _settled(terms, _common_epsilon(one, other))


def power(base: Moments, exponent: float) -> Moments:
    """Return base^exponent; raise NotMoments where that is not a quantity."""
    if exponent == int(exponent) and 0 <= exponent <= _MAX_POWER:
        result = number(1.0)
        for _ in range(int(exponent)):
            result = times(result, base)
        return result
    if len(base.terms) == 1:
        return _power_of_term(base, exponent)
    if base.terms.keys() != {Term(v=1), ONE}:
        raise NotMoments(_why_no_power(base))
    variance, constant = _as_number(base.terms[Term(v=1)]), _as_number(base.terms[ONE])
    if variance is None or constant is None:
        raise NotMoments("its epsilon differs from channel to channel")
    if variance < 0 or constant < 0:
        raise NotMoments("it takes the root of a negative number")
    return _settled({Term(r=exponent): variance**exponent}, constant / variance)


def mean(base: Moments, axes: frozenset[int], spatial: frozenset[int]) -> Moments:
    """Return the mean over `axes`, some or all of the `spatial` ones."""
    terms: dict[Term, Coefficient] = {}
    for term, coefficient in base.terms.items():
        averaged = term.averaged | axes if term.x else frozenset()
        rest = term._replace(x=0, averaged=frozenset())
        if term.x == 0:
            _add(terms, term, coefficient)
        elif averaged != spatial:
            _add(terms, term._replace(averaged=averaged), coefficient)
        elif term.x == 1:
            _add(terms, rest._replace(m=term.m + 1), coefficient)
        elif term.x == 2:
            _add(terms, rest._replace(m=term.m + 2), coefficient)
            _add(terms, rest._replace(v=term.v + 1), coefficient)
        else:
            raise NotMoments(f"it takes the mean of the data to the power of {term.x}")
    return _settled(terms, base.epsilon)


def clipped_below(base: Moments, lowest: float) -> Moments:
    """Return max(base, lowest), which is `base` where that is a variance or a deviation that is never below."""
    terms = dict(base.terms)
    smallest = float(np.min(terms.pop(ONE, 0.0)))
    for term, coefficient in terms.items():
        is_positive = term._replace(v=0, r=0, n=0) == ONE and bool(np.all(coefficient >= 0))
        if not is_positive or (term.r and term.v):
            raise NotMoments("it clips the data or its mean")
        if term.r > 0:
            smallest += float(np.min(coefficient)) * (base.epsilon or 0.0) ** term.r
    if lowest > smallest * (1 + _ROUNDING):
        raise NotMoments(f"it clips the variance or deviation at {lowest:g}, above its epsilon")
    return base


def _product(one: Term, other: Term) -> Term:
    if one.x and other.x and (one.averaged or other.averaged):
        raise NotMoments("it multiplies means over a part of the axes")
    atoms = dict(one.atoms)
    for key, exponent in other.atoms:
        atoms[key] = atoms.get(key, 0) + exponent
    return Term(
        x=one.x + other.x,
        m=one.m + other.m,
        v=one.v + other.v,
        r=one.r + other.r,
        n=one.n + other.n,
        averaged=one.averaged | other.averaged,
        atoms=tuple(sorted((key, exponent) for key, exponent in atoms.items() if exponent)),
    )


def _as_number(coefficient: Coefficient) -> float | None:
    """Return a coefficient that is the same for all channels, None where it differs."""
    values = np.asarray(coefficient).reshape(-1)
    return float(values[0]) if (values == values[0]).all() else None


def _add(terms: dict[Term, Coefficient], term: Term, coefficient: Coefficient) -> None:
    """Add a term; what is left of two that cancel each other but for rounding is nothing.

    Constants and other tensors have no factor such as 1/n: the small difference of two large ones counts.
    """
    if term not in terms:
        terms[term] = coefficient
        return
    total: Coefficient = terms.pop(term) + coefficient
    rounding = _ROUNDING if any((term.x, term.m, term.v, term.r, term.n)) else 0.0
    if np.any(np.abs(total) > rounding * np.abs(coefficient)):
        terms[term] = total


def _settled(terms: dict[Term, Coefficient], epsilon: float | None) -> Moments:
    """Return terms in their one form: no zeros, and whole powers of (v + epsilon) multiplied out."""
    while (term := next((term for term in terms if term.r >= 1), None)) is not None:
        coefficient = terms.pop(term)
        _add(terms, term._replace(r=term.r - 1, v=term.v + 1), coefficient)
        _add(terms, term._replace(r=term.r - 1), coefficient * (epsilon or 0.0))
    kept = {term: coefficient for term, coefficient in terms.items() if not _is_zero(coefficient)}
    if len(kept) > _MAX_TERMS or any(max(term.x, term.m, term.v) > _MAX_POWER for term in kept):
        raise NotMoments("it is a polynomial of a higher degree than a norm")
    if not all(map(_is_finite, kept.values())):
        raise NotMoments("a constant of it is not finite")
    return Moments(kept, epsilon if any(term.r for term in kept) else None)


def _is_zero(coefficient: Coefficient) -> bool:
    return coefficient == 0 if isinstance(coefficient, float) else not coefficient.any()


def _is_finite(coefficient: Coefficient) -> bool:
    return math.isfinite(coefficient) if isinstance(coefficient, float) else bool(np.isfinite(coefficient).all())


def _common_epsilon(one: Moments, other: Moments) -> float | None:
    if one.epsilon is None or other.epsilon is None:
        return other.epsilon if one.epsilon is None else one.epsilon
    if not math.isclose(one.epsilon, other.epsilon, rel_tol=_ROUNDING):
        raise NotMoments(f"it has two epsilons, {one.epsilon:g} and {other.epsilon:g}")
    return one.epsilon


def _power_of_term(base: Moments, exponent: float) -> Moments:
    ((term, coefficient),) = base.terms.items()
    if term.x or term.m:
        raise NotMoments(_why_no_power(base))
    if term.v and term.r and base.epsilon:
        raise NotMoments("it takes a root of a variance with and without epsilon")
    if np.any(coefficient == 0):
        raise NotMoments("it divides by zero")
    is_root = exponent != int(exponent)
    if is_root and np.any(coefficient < 0):
        raise NotMoments("it takes the root of a negative number")
    if is_root and term.atoms:  # that of a square is the absolute value
        raise NotMoments("it takes the root of another tensor")
    raised = Term(
        r=(term.r + term.v) * exponent,
        n=term.n * exponent,
        atoms=tuple((key, each * exponent) for key, each in term.atoms),
    )
    epsilon = 0.0 if term.v else base.epsilon
    return _settled({raised: coefficient**exponent}, epsilon)


def _why_no_power(base: Moments) -> str:
    """Say why a root or an inverse of a quantity is none."""
    terms = base.terms
    if any(term.x for term in terms):
        return "it divides by, or takes the root of, the data itself"
    if any(term.r for term in terms) and ONE in terms:
        return "its epsilon is added to the deviation, outside the root"
    if any(term.n for term in terms):
        return "its variance is unbiased, over a number of elements that is known at run time only"
    if any(term.m == 2 for term in terms) and any(term.v for term in terms):
        return "it divides by the root of the mean of the squares, from which no mean is taken off"
    if any(term.atoms for term in terms):
        return "its epsilon is known at run time only, or it adds another tensor to the variance"
    return "its root is not taken of a variance and an epsilon"
