"""System shared memory: regions that come, go and are told of, and tensors in them."""

from conformance.recorded.kinds import Exchange
from conformance.recorded.shared import KEY, OTHER, PAGE, SIZE, Ask, Register, RegisterCuda, Shared, Status, Unregister


def at(byte_size: int = 16, offset: int | None = None, region: str = "r") -> dict[str, int | str]:
    place: dict[str, int | str] = {"shared_memory_region": region, "shared_memory_byte_size": byte_size}
    return place if offset is None else {**place, "shared_memory_offset": offset}


def part(offset: int, byte_size: int, key: str = KEY) -> Register:
    return Register({"key": key, "offset": offset, "byte_size": byte_size})


HALF = part(PAGE, PAGE)
SECOND = Register({"key": OTHER, "offset": 0, "byte_size": SIZE}, "second")

EXCHANGES: list[Exchange] = [
    Shared("registered and told of", (Register(), Status("r"), Status())),
    Shared("no region", (Status(),)),
    Shared("two regions of one object", (Register(), Register(HALF.body, "half"), Status("half"))),
    Shared("regions of two objects", (Register(), SECOND, Status("second"), Status())),
    Shared("an offset inside a page", (part(16, 32), Ask(at(), at(offset=16)))),
    Shared("a key without a slash", (part(0, SIZE, KEY.strip("/")), Status("r"))),
    Shared("registered without an offset", (Register({"key": KEY, "byte_size": SIZE}), Status("r"))),
    Shared("an unknown region's status", (Status("r"),), ("unable to find system shared memory region: 'r'",)),
    Shared("registered twice", (Register(), Register()), ("shared memory region 'r' already in manager",)),
    Shared("registered twice, as another part", (Register(), HALF), ("shared memory region 'r' already in manager",)),
    Shared("an unknown key", (part(0, SIZE, "/tcli-nothing"), Status()), ("unable to open shared memory region",)),
    Shared("a key of slashes", (part(0, SIZE, "//"),)),
    Shared("a key that is empty", (part(0, SIZE, ""),)),
    Shared("a key with a slash inside", (part(0, SIZE, "/a/b"),), ("unable to open shared memory region",)),
    Shared("a key of a Python model's", (part(0, SIZE, "/triton_python_backend_shm_region_1"),)),
    Shared("beyond the end", (part(0, SIZE + 1), Status()), ("failed to register shared memory region 'r'",)),
    Shared("an offset at the end", (part(SIZE, 1), Status()), ("failed to register shared memory region 'r'",)),
    Shared("no bytes", (part(0, 0), Status())),
    Shared("an offset and a size that overflow", (part(2**64 - 8, 16),), ("failed to register shared memory region 'r'",)),
    Shared("no region's name", (Register(region=""),)),
    Shared("no key", (Register({"offset": 0, "byte_size": SIZE}),)),
    Shared("no size", (Register({"key": KEY, "offset": 0}), Status())),
    Shared("one unregistered", (Register(), SECOND, Unregister(), Status())),
    Shared("all unregistered", (Register(), SECOND, Unregister(""), Status())),
    Shared("unregistered twice", (Register(), Unregister(), Unregister(), Unregister("never there"))),
    Shared("registered again", (Register(), Unregister(), HALF, Status())),
    Shared("CUDA's regions", (Status(kind="Cuda"), Unregister(kind="Cuda"), Unregister("", kind="Cuda"))),
    Shared("an unknown CUDA region's status", (Status("r", "Cuda"),), ("unable to find cuda shared memory region: 'r'",)),
    Shared("a system region as CUDA's", (Register(), Status("r", "Cuda"), Unregister("r", "Cuda"), Status())),
    Shared("a CUDA region registered", (RegisterCuda(),), ()),
    Shared("input and output", (Register(), Ask(at(), at(offset=32)))),
    Shared("at offset 0", (Register(), Ask(at(offset=0), at(offset=0)), Ask(at(offset=16), at()))),
    Shared("in a part of an object", (HALF, Ask(at(offset=4), at(offset=16)))),
    Shared("an output in a place that is larger", (Register(), Ask(data=(7, 8, 9, 10), output=at(PAGE)))),
    Shared("an output in a place that is too small", (Register(), Ask(at(), at(15))), ("at least 16 bytes",)),
    Shared("an input that is larger than its tensor", (Register(), Ask(at(20))), ("Expected 16, got 20",)),
    Shared("an input that is smaller than its tensor", (Register(), Ask(at(12))), ("Expected 16, got 12",)),
    Shared("an input of no bytes", (Register(), Ask(at(0))), ("invalid offset + byte size",)),
    Shared("an unknown region", (Ask(at()), Ask(data=(1, 2, 3, 4), output=at())), ("unable to find shared memory region: 'r'",)),
    Shared("an input's offset beyond the end", (Register(), Ask(at(offset=SIZE))), ("invalid offset",)),
    Shared("an input's end beyond the end", (Register(), Ask(at(offset=SIZE - 12))), ("invalid offset + byte size",)),
    Shared("an output's offset beyond the end", (Register(), Ask(at(), at(offset=SIZE))), ("invalid offset",)),
    Shared("an output's end beyond the end", (Register(), Ask(at(), at(offset=SIZE - 12))), ("invalid offset + byte size",)),
    Shared("an offset and a size of a tensor that overflow", (Register(), Ask(at(2**63 - 1, 2**63 - 1))), ("invalid offset",)),
    Shared("a tensor's size missing", (Register(), Ask({"shared_memory_region": "r"}))),
    Shared("an output's size missing", (Register(), Ask(at(), {"shared_memory_region": "r"}))),
    Shared("an offset without a region", (Register(), Ask({"shared_memory_offset": 0, "shared_memory_byte_size": 16}))),
    Shared("an input with data, too", (Register(), Ask(at(), data=(1, 2, 3, 4)))),
    Shared("a region that is no text", (Register(), Ask({**at(), "shared_memory_region": 1}))),
    Shared("an offset that is a text", (Register(), Ask({**at(), "shared_memory_offset": "0"}))),
    Shared("a size that is a text", (Register(), Ask({**at(), "shared_memory_byte_size": "16"}))),
    Shared("a negative offset", (Register(), Ask(at(offset=-4)))),
    Shared("a negative size", (Register(), Ask(at(-16)))),
    Shared("classes of an output in a region", (Register(), Ask(at(), {**at(), "classification": 1})), ("classification",)),
    Shared("unregistered, and asked", (Register(), Unregister(), Ask(at())), ("unable to find shared memory region: 'r'",)),
]  # fmt: skip
