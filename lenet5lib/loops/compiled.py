"""Compiling the loops: a copy of a function with its constants filled in, compiled by numba where it is installed.

The functions of `forward`, `backward` and `update` are written with names for what is fixed while a network runs: the
kernel's size, the stride, the number of examples in a group. `specialise` gives these names their values. The compiler then
knows the number of iterations of an inner loop, unrolls it, and uses the processor's vector instructions. Without numba the
copy runs as plain Python, with the same results up to rounding. Chapter 15 is about what this brings.
"""

from __future__ import annotations

import functools
import hashlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

try:
    import numba

    MISSING = "numba's setting DISABLE_JIT is on", "Switch it off"
except ImportError:  # The loops then run as plain Python, which is slow.
    numba = None
    MISSING = "numba is not installed", "Install numba 0.61 or newer"
# So they do if numba may not compile.
if numba is not None and numba.config.DISABLE_JIT:
    numba = None

OPTIONS = {
    # Sums may be added in any order, which vectors need. Infinities and NaN keep their meaning.
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
    "error_model": "numpy",
    "nogil": True,
}
WAYS: dict[str, dict[str, Any]] = {
    # Without what makes a function callable from Python, which takes time to compile.
    "inner": dict.fromkeys(
        ("no_cpython_wrapper", "no_cfunc_wrapper", "forceinline"), True
    ),
    "inline": {"inline": "always"},
    # `prange` alone is divided among threads; numba's own choices are off.
    "parallel": {
        "parallel": {
            **dict.fromkeys(("comprehension", "fusion", "inplace_binop"), False),
            **dict.fromkeys(("numpy", "reduction", "setitem", "stencil"), False),
            "prange": True,
        }
    },
}
"""More of numba's options, by what `specialise` calls `how`."""


def available() -> bool:
    """Return whether the loops are compiled here."""
    return numba is not None


@functools.cache
def say_missing(consequence: str) -> None:
    """Say on stderr that numba is missing and what follows from it; the same again is silent."""
    reason, remedy = MISSING
    print(f"Notice: {reason}, so {consequence}. {remedy}.", file=sys.stderr)


def specialise(function: Callable, how: str = "", /, **constants: Any) -> Callable:
    """Return the function with these constants, compiled where numba is installed; the same call returns the same object.

    The functions of this package that it calls are specialised with it.

    Args:
        function: whose body uses the constants as global names of its module.
        how: "inner" for a function that only compiled code calls, "inline" for one that becomes a part of its caller;
            "parallel" if `prange` in it divides the iterations among threads.
        constants: numbers and functions by name; those that are not used are left out.
    """
    if numba is None:
        say_missing("the loops run as plain Python, which is slow")
    used = _names(function)
    own = {name: value for name, value in constants.items() if name in used}
    # By the constants as text: float32 and float64 zeros are equal.
    key = function, _fingerprint(own, how)
    if key not in _known:
        _known[key] = _made(function, how, own)
    return _known[key]


_known: dict[Any, Any] = {}


def _called(function: Callable) -> dict[str, types.FunctionType]:
    """Return the library's functions that a function calls by a global name."""
    found = {}
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        # Those of this module are compiled in their own way.
        if isinstance(value, types.FunctionType) and (
            value.__module__.startswith("lenet5lib.")
            and value.__module__ != __name__
        ):
            found[name] = value
    return found


@functools.cache
def _names(function: Callable) -> frozenset[str]:
    """Return the global names that a function and the functions that it calls use."""
    inner = (_names(value) for value in _called(function).values())
    return frozenset(function.__code__.co_names).union(*inner)


def _made(function: Callable, how: str, constants: dict[str, Any]) -> Callable:
    """Return the specialised function, new."""
    inner = "inline" if how == "inline" else "inner"
    called = {
        name: specialise(value, inner, **constants)
        for name, value in _called(function).items()
        if name not in constants
    }
    copy = _copy(function, called | constants, how)
    return cached(numba.njit, **WAYS.get(how, {}))(copy) if numba else copy


def _copy(function: Callable, constants: dict[str, Any], how: str = "") -> Callable:
    """Return a copy of a function whose global names have these values."""
    globals_ = {**function.__globals__, **constants}
    copy = types.FunctionType(function.__code__, globals_, function.__name__)
    copy.__doc__, copy.__module__ = function.__doc__, function.__module__
    # numba stores machine code by a function's name and file, whatever its globals are: the name has to tell them apart.
    copy.__qualname__ = f"{function.__name__}_{_fingerprint(constants, how)}"
    return copy


def cached(compiler: Callable, *signature: Any, **more: Any) -> Callable:
    """Return numba's compiler as a decorator that stores machine code on disk if it can write a folder there.

    Args:
        compiler: njit or cfunc.
        *signature: the types of the function, where the compiler needs them.
        **more: options beside those of `OPTIONS`, or in their place.
    """

    def decorate(function: Callable) -> Callable:
        options = OPTIONS | more
        try:
            return compiler(*signature, cache=True, **options)(function)
        except (RuntimeError, OSError):
            return compiler(*signature, **options)(function)

    return decorate


def operation(function: Callable, dtype: Any, /, **constants: Any) -> Any:
    """Return a function of five flat arrays as what `call` calls: the address of its machine code, or itself without numba.

    Args:
        function: of `operations`: its arguments are three arrays of numbers and two of whole numbers.
        dtype: np.float32 or np.float64, the type of the numbers.
        constants: as for `specialise`.
    """
    if numba is None:
        return specialise(function, **constants)
    key = function, dtype, _fingerprint(constants, "operation")
    if key not in _known:
        inner = specialise(function, "inline", **constants)
        real = numba.types.CPointer(numba.from_dtype(np.dtype(dtype)))
        whole = numba.types.CPointer(numba.types.int64)
        signature = numba.types.void(real, real, real, whole, whole)
        copy = _copy(_on_pointers, {"inner": inner})
        _known[key] = cached(numba.cfunc, signature)(copy)
    return _known[key].address


inner: Any = None  # A constant of the function below, which `operation` sets.


def _on_pointers(weights, gradient, values, at, now):
    """Run an operation on arrays of which only the first numbers' addresses are given."""
    inner(
        numba.carray(weights, ENDLESS),
        numba.carray(gradient, ENDLESS),
        numba.carray(values, ENDLESS),
        numba.carray(at, ENDLESS),
        numba.carray(now, ENDLESS),
    )


ENDLESS = 2**40
"""The length that the flat arrays are given: an operation knows only where they begin."""


@functools.cache
def _sources() -> str:
    """Return a checksum of the source code here, so that machine code of an earlier version is not used."""
    parts = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in parts)).hexdigest()


def _fingerprint(constants: dict[str, Any], how: str) -> str:
    """Return a short text that differs when a constant does, or the way of compiling."""
    text = [_sources(), how]
    for name, value in constants.items():
        python = getattr(value, "py_func", value)
        shown = getattr(python, "__qualname__", None) or _typed(value)
        text.append(f"{name}={shown}")
    return hashlib.sha256(" ".join(text).encode()).hexdigest()[:16]


def _typed(value: Any) -> str:
    """Return a number, or a tuple of numbers, as text that says of which type it is."""
    if isinstance(value, tuple):
        return f"({' '.join(map(_typed, value))})"
    return f"{type(value).__name__} {value}"


def taps(row: Any, count: int) -> tuple:
    """Return the first `count` numbers of an array as a tuple, which the compiler keeps in registers."""
    return tuple(row[:count])


def add_products(
    sums: tuple, factor: Any, row: Any, start: int, step: int
) -> tuple:
    """Return sums[v] + factor · row[start + v · step], for each v, as a tuple."""
    return tuple(one + factor * row[start + v * step] for v, one in enumerate(sums))


def call(function: Any, weights, gradient, values, at, now) -> None:
    """Call what `operation` returned."""
    function(weights, gradient, values, at, now)


if numba is not None:
    from llvmlite import ir
    from numba.cpython.unsafe.tuple import tuple_setitem
    from numba.extending import intrinsic, overload
    from numba.np.unsafe.ndarray import to_fixed_tuple

    @overload(taps, inline="always")
    def _taps(row, count):
        return lambda row, count: to_fixed_tuple(row, count)

    @overload(add_products, jit_options={"fastmath": OPTIONS["fastmath"]})
    def _add_products(sums, factor, row, start, step):
        def add(sums, factor, row, start, step):
            for v in range(len(sums)):
                more = sums[v] + factor * row[start + v * step]
                sums = tuple_setitem(sums, v, more)
            return sums

        return add

    @intrinsic
    def _call_address(context, address, weights, gradient, values, at, now):
        def generate(context, builder, signature, args):
            pointers = [
                context.make_array(kind)(context, builder, value).data
                for kind, value in zip(signature.args[1:], args[1:], strict=True)
            ]
            kind = ir.FunctionType(
                ir.IntType(32), [pointer.type for pointer in pointers]
            )
            builder.call(builder.inttoptr(args[0], kind.as_pointer()), pointers)
            return context.get_dummy_value()

        arrays = weights, gradient, values, at, now
        return numba.types.void(numba.types.int64, *arrays), generate

    @overload(call)
    def _call(function, weights, gradient, values, at, now):
        def call(function, weights, gradient, values, at, now):
            _call_address(function, weights, gradient, values, at, now)

        return call
