"""What kind of samples a TIFF holds, for files whose samples no decoder takes."""

import struct

_BITS, _FORMAT = 258, 339
_KINDS = {1: "integer", 2: "signed integer", 3: "float", 5: "complex integer", 6: "complex float"}
_SIZES = {1: 1, 3: 2, 4: 4, 16: 8}


def tiff_samples(content: bytes) -> str | None:
    """ "32-bit float" for a TIFF with such samples; None for what is no TIFF, or one that does not say.

    Args:
        content: the file, or enough of it to hold the first directory.
    """
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None or content[2:4] not in (b"*\0", b"\0*", b"+\0", b"\0+"):
        return None
    try:
        tags = _directory(content, order)
    except struct.error:
        return None
    if _BITS not in tags:
        return None
    kind = _KINDS.get(tags.get(_FORMAT, 1), "unknown")
    return f"{tags[_BITS]}-bit {kind}"


def _directory(content: bytes, order: str) -> dict[int, int]:
    """The first directory's tags with the first value of each."""
    big = content[2:4] in (b"+\0", b"\0+")
    (start,) = struct.unpack_from(order + ("Q" if big else "I"), content, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), content, start)
    entry, first = (20, start + 8) if big else (12, start + 2)
    tags = {}
    for position in range(first, first + entry * min(count, 200), entry):
        tag, kind = struct.unpack_from(order + "HH", content, position)
        (number,) = struct.unpack_from(order + ("Q" if big else "I"), content, position + 4)
        letter = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind)
        if letter is None:
            continue
        place = position + (12 if big else 8)
        if number * _SIZES[kind] > (8 if big else 4):
            (place,) = struct.unpack_from(order + ("Q" if big else "I"), content, place)
        (tags[tag],) = struct.unpack_from(order + letter, content, place)
    return tags
