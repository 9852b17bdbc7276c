"""Copies from the memory of a GPU, by the driver's library alone: whatever a model computes with, it has loaded that."""

from __future__ import annotations

import ctypes
import functools
import sys

import numpy as np

from .errors import TritonModelException

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def copy_to_host(address: int, gpu: int, buffer: memoryview) -> None:
    """Fill a buffer from an address on a GPU, after what is under way on its default stream.

    Raises:
        TritonModelException: there is no driver, or it cannot.
    """
    if not buffer.nbytes:
        return
    driver, context = _driver(), _context(gpu)
    _check("cuCtxPushCurrent_v2", driver.cuCtxPushCurrent_v2(context))
    try:
        host = np.frombuffer(buffer, np.uint8).ctypes.data
        copied = driver.cuMemcpyDtoH_v2(ctypes.c_void_p(host), ctypes.c_uint64(address), ctypes.c_size_t(buffer.nbytes))
        _check("cuMemcpyDtoH_v2", copied)
    finally:
        driver.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))


@functools.cache
def _driver() -> ctypes.CDLL:
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise TritonModelException(f"a tensor is on a GPU, but CUDA's driver cannot be loaded: {error}") from None
    _check("cuInit", driver.cuInit(0))
    return driver


@functools.cache
def _context(gpu: int) -> ctypes.c_void_p:
    """The context that every library of this process shares."""
    driver, device, context = _driver(), ctypes.c_int(), ctypes.c_void_p()
    _check("cuDeviceGet", driver.cuDeviceGet(ctypes.byref(device), gpu))
    _check("cuDevicePrimaryCtxRetain", driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device))
    return context


def _check(function: str, code: int) -> None:
    if code:
        raise TritonModelException(f"a tensor cannot be copied from its GPU: {function} failed with CUDA error {code}")
