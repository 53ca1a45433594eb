"""Loads and stores at addresses that SCIP hands out, as functions that numba compiles in line."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_WIDTH = {
    types.int64: ir.IntType(64),
    types.int32: ir.IntType(32),
    types.uint8: ir.IntType(8),
    types.float64: ir.DoubleType(),
    types.float32: ir.FloatType(),
}


def _loader(value: Any) -> Any:
    """Return a function that loads one `value` from an address plus an index in elements."""

    @intrinsic  # type: ignore[untyped-decorator]  # numba ships no types
    def load(context: Any, address: Any, index: Any) -> Any:
        def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], _WIDTH[value].as_pointer())
            return builder.load(builder.gep(pointer, [arguments[1]]))

        return value(types.int64, types.int64), generate

    return load


def _storer(value: Any) -> Any:
    """Return a function that stores one `value` at an address."""

    @intrinsic  # type: ignore[untyped-decorator]  # numba ships no types
    def store(context: Any, address: Any, item: Any) -> Any:
        def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
            builder.store(arguments[1], builder.inttoptr(arguments[0], _WIDTH[value].as_pointer()))

        return types.void(types.int64, value), generate

    return store


def _pointer(value: Any) -> Any:
    """Return a function that makes a typed pointer of an address, for `numba.carray`."""

    @intrinsic  # type: ignore[untyped-decorator]  # numba ships no types
    def cast(context: Any, address: Any) -> Any:
        def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], _WIDTH[value].as_pointer())

        return types.CPointer(value)(types.int64), generate

    return cast


load_pointer = load_long = _loader(types.int64)
load_int = _loader(types.int32)
load_real = _loader(types.float64)
load_byte = _loader(types.uint8)
store_int = _storer(types.int32)
pointer_to_bytes = _pointer(types.uint8)
pointer_to_longs = _pointer(types.int64)
pointer_to_floats = _pointer(types.float32)
pointer_to_reals = _pointer(types.float64)
