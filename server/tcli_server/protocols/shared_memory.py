"""Tensors in memory that a client shares with the server: Triton's system shared memory extension.

A region is read and written by system calls, not by looking at the memory itself: a client that makes its object smaller
while it is registered would otherwise end the server by a signal, and one that changes an input while a model computes
would change what was checked. That costs one copy.
"""

import errno
import os
import threading
import weakref
from dataclasses import dataclass
from typing import NoReturn

from tcli_server.errors import (
    AlreadyExistsError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    UnsupportedError,
)
from tcli_server.hardware.descriptors import usable_descriptors
from tcli_server.protocols.counted_memory import CountedMemory
from tcli_server.protocols.texts import short

_RESERVED = "triton_python_backend_shm_region_"
_MOST_REGIONS = 4096
_DESCRIPTOR_SHARE = 4
"""A region holds a file descriptor: so many parts of those that there are stay for connections and files."""

_LONGEST = 256
"""Characters of a name or a key, which are kept as long as the region; a system has no longer names of objects than 255 bytes."""

_PIECE = 1 << 30
"""Linux reads and writes at most 2 GiB at a time."""


@dataclass(eq=False)
class Region:
    """A registered piece of a POSIX shared memory object, which is given back when neither the registry nor a request has it.

    Attributes:
        name: as the client calls it.
        key: the object's name.
        offset: where the piece begins in the object, in bytes.
        byte_size: its length.
    """

    name: str
    key: str
    offset: int
    byte_size: int
    _descriptor: int

    def __post_init__(self) -> None:
        weakref.finalize(self, os.close, self._descriptor)

    def check(self, offset: int, byte_size: int) -> None:
        """Whether bytes lie in it.

        Raises:
            InvalidArgumentError: not all of them do.
        """
        if not 0 <= offset < self.byte_size:
            raise InvalidArgumentError(f"Invalid offset for shared memory region: '{short(self.name)}'")
        if not 0 < byte_size <= self.byte_size - offset:
            raise InvalidArgumentError(
                f"Invalid offset + byte size for shared memory region: '{short(self.name)}': found {offset} + {byte_size}, "
                f"it has {self.byte_size} bytes"
            )

    def read(self, offset: int, into: memoryview) -> None:
        """Copy some of it.

        Raises:
            InternalError: the object has become smaller since it was registered.
        """
        done = 0
        while done < len(into):
            count = os.preadv(self._descriptor, [into[done : done + _PIECE]], self.offset + offset + done)
            if count == 0:
                raise self._cut()
            done += count

    def write(self, content: "bytes | memoryview", offset: int) -> None:
        """Put bytes into it.

        Raises:
            InternalError: the object has become smaller since it was registered, or there is no memory for it.
        """
        view = memoryview(content).cast("B")
        begin = self.offset + offset
        if os.fstat(self._descriptor).st_size < begin + len(view):
            raise self._cut()
        done = 0
        while done < len(view):
            try:
                done += os.pwrite(self._descriptor, view[done : done + _PIECE], begin + done)
            except OSError as error:
                raise InternalError(
                    f"shared memory region '{short(self.name)}' cannot be written: {os.strerror(error.errno or 0)}"
                ) from None

    def _cut(self) -> InternalError:
        return InternalError(
            f"shared memory region '{short(self.name)}': object '{short(self.key)}' has become smaller since it was registered"
        )


@dataclass(frozen=True, slots=True)
class SharedTensor:
    """Where in a region a tensor is, or goes."""

    region: Region
    offset: int
    byte_size: int

    def write(self, content: "bytes | memoryview", output: str) -> None:
        """Put an output there, as `Region.write`.

        Raises:
            InternalError: it has more bytes than its place.
        """
        size = len(content)
        if size > self.byte_size:
            raise InternalError(
                f"shared memory size specified with the request for output '{short(output)}' ({self.byte_size} bytes) should "
                f"be at least {size} bytes to hold the results"
            )
        self.region.write(content, self.offset)


class SystemSharedMemory:
    """The regions of one server.

    Args:
        allowed: whether clients may register any (`--allow-client-shm`).
        most_bytes: that may be in use of what was read of them, by one request or by all: each may name the same region many times.
    """

    def __init__(self, allowed: bool, most_bytes: int) -> None:
        self._allowed = allowed
        self.copies = CountedMemory(most_bytes)
        self._regions: dict[str, Region] = {}
        self._lock = threading.Lock()
        self._most_regions = max(1, min(_MOST_REGIONS, usable_descriptors() // _DESCRIPTOR_SHARE))

    def register(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """Take part of an object that a client on this machine has made.

        Raises:
            UnsupportedError: regions are not allowed, or this system has no such objects.
            InvalidArgumentError: the name or the key is not acceptable, or the object has not so many bytes.
            AlreadyExistsError: there is a region of that name.
            InternalError: there is no such object, or it may not be opened.
        """
        self.check_allowed()
        if not name:
            raise InvalidArgumentError("shared memory region name must not be empty")
        for what, text in (("name", name), ("shm key", key)):
            if len(text) > _LONGEST:
                raise InvalidArgumentError(
                    f"shared memory region '{short(name)}': its {what} has {len(text)} characters, expected at most {_LONGEST}"
                )
        if not key.strip("/") or "\0" in key:  # the system reads no further than that
            raise InvalidArgumentError(
                f"cannot register shared memory region '{short(name)}' - invalid shm key '{short(key)}': it names no object"
            )
        if key.lstrip("/").startswith(_RESERVED):
            raise InvalidArgumentError(
                f"cannot register shared memory region '{short(name)}' with key '{short(key)}' as the key contains the "
                f"reserved prefix '{_RESERVED}'"
            )
        if offset < 0 or byte_size <= 0:
            raise _invalid(name)
        with self._lock:
            self._check_new(name)
            descriptor = _open(key)
            try:
                if os.fstat(descriptor).st_size < offset + byte_size:
                    raise _invalid(name)
            except BaseException:
                os.close(descriptor)
                raise
            self._regions[name] = Region(name, key, offset, byte_size, descriptor)

    def unregister(self, name: str) -> None:
        """Let a region go, all of them if none is named; one that is not there is gone already.

        Raises:
            UnsupportedError: regions are not allowed.
        """
        self.check_allowed()
        with self._lock:
            if name:
                self._regions.pop(name, None)
            else:
                self._regions.clear()

    def status(self, name: str) -> list[Region]:
        """One region, or all if none is named.

        Raises:
            NotFoundError: there is none of that name.
        """
        with self._lock:
            if not name:
                return list(self._regions.values())
            if name in self._regions:
                return [self._regions[name]]
        raise NotFoundError(f"Unable to find system shared memory region: '{short(name)}'")

    def check_no_cuda(self, name: str) -> None:
        """What the status of CUDA regions is asked for.

        Raises:
            NotFoundError: one is named, and there are none.
        """
        if name in self._regions:
            raise NotFoundError(
                f"The region named '{short(name)}' is registered as system shared memory, not CUDA shared memory"
            )
        if name:
            raise NotFoundError(f"Unable to find cuda shared memory region: '{short(name)}'")

    def tensor(self, name: str, offset: int, byte_size: int) -> SharedTensor:
        """The bytes of a region that a request names.

        Raises:
            UnsupportedError, NotFoundError, InvalidArgumentError: it has not.
        """
        self.check_allowed()
        region = self._regions.get(name)
        if region is None:
            raise _unknown(name)
        region.check(offset, byte_size)
        return SharedTensor(region, offset, byte_size)

    def read(self, tensor: SharedTensor, before: int, name: str) -> memoryview:
        """The bytes of an input.

        Args:
            before: bytes that were read for the same request.

        Raises:
            InvalidArgumentError: the request has read too much.
            UnavailableError: all requests together have.
            InternalError: as `Region.read`.
        """
        if before + tensor.byte_size > self.copies.limit:
            raise InvalidArgumentError(
                f"input '{short(name)}': the request's inputs in shared memory have more than {self.copies.limit} bytes, which "
                "is the most that all requests may hold (--max-pending-bytes)"
            )
        copy = self.copies.allocate(tensor.byte_size)
        tensor.region.read(tensor.offset, copy)
        return copy

    def check_allowed(self) -> None:
        """Raises UnsupportedError where clients may not share memory."""
        if not self._allowed:
            raise UnsupportedError("Client shared memory is disabled. Use --allow-client-shm=true to allow it")

    def close(self) -> None:
        """Let all regions go."""
        with self._lock:
            self._regions.clear()

    def _check_new(self, name: str) -> None:
        if name in self._regions:
            raise AlreadyExistsError(f"shared memory region '{short(name)}' already in manager")
        if len(self._regions) >= self._most_regions:
            raise InvalidArgumentError(
                f"there are {self._most_regions} shared memory regions, and no more are taken: at most {_MOST_REGIONS}, and one for "
                f"each {_DESCRIPTOR_SHARE} files that the server may open (ulimit -n)"
            )


def refuse_cuda(name: str) -> NoReturn:
    """Raises InvalidArgumentError: as Triton without GPUs, this server shares no memory of them."""
    raise InvalidArgumentError(f"failed to register CUDA shared memory region: '{short(name)}', GPUs not supported")


def _open(key: str) -> int:
    try:
        from _posixshmem import shm_open  # type: ignore[import-not-found]  # what multiprocessing.shared_memory opens objects with
    except ImportError:
        raise UnsupportedError("this system has no POSIX shared memory") from None
    try:
        return int(shm_open(key if key.startswith("/") else f"/{key}", os.O_RDWR, mode=0o600))
    except (OSError, ValueError) as error:
        why = "" if getattr(error, "errno", None) == errno.ENOENT else f" ({error})"
        raise InternalError(f"Unable to open shared memory region: '{short(key)}'{why}") from None


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"Unable to find shared memory region: '{short(name)}'")


def _invalid(name: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"failed to register shared memory region '{short(name)}': invalid args: the object has not that many bytes"
    )


NO_SHARED_MEMORY = SystemSharedMemory(allowed=False, most_bytes=0)
"""Where clients may share none."""
