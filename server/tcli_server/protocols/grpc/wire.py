"""The little of protobuf's wire format that keeps large tensors out of protobuf messages.

Parsing or building a message copies every tensor in it once more than needed, while all other messages wait. So tensors
are cut out of a request's bytes, and put behind a response's, directly.
"""

from collections.abc import Iterator

from tritonclient.grpc import service_pb2

_RAW_INPUT = (service_pb2.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER << 3) | 2
_RAW_OUTPUT = bytes([(service_pb2.ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER << 3) | 2])
_LENGTH_DELIMITED = 2
_LOAD_PARAMETER = (service_pb2.RepositoryModelLoadRequest.PARAMETERS_FIELD_NUMBER << 3) | _LENGTH_DELIMITED
_BYTES_PARAM = (service_pb2.ModelRepositoryParameter.BYTES_PARAM_FIELD_NUMBER << 3) | _LENGTH_DELIMITED
_KEY, _VALUE = (1 << 3) | _LENGTH_DELIMITED, (2 << 3) | _LENGTH_DELIMITED
"""An entry of any map."""
_SIZES = {1: 8, 5: 4}
_TENSORS = frozenset(
    (number << 3) | 2
    for number in (
        service_pb2.ModelInferRequest.INPUTS_FIELD_NUMBER,
        service_pb2.ModelInferRequest.OUTPUTS_FIELD_NUMBER,
    )
)

_ONE_BYTE = [bytes([value]) for value in range(0x80)]

_LARGE_FILE = 1 << 16
"""Bytes from which a file is cut out of a load request instead of being parsed with it."""

_LONGEST_NAME = 4096

_FIELDS_BEFORE = 100

Buffer = bytes | memoryview


class TooManyFieldsError(Exception):
    """There are more fields than the caller has time for."""


def split_request(data: Buffer, most_fields: int | None = None) -> tuple[bytes, list[memoryview]]:
    """Cut the `raw_input_contents` out of a serialized ModelInferRequest.

    Args:
        most_fields: fields to look at before giving up, None for all.

    Returns:
        The rest of the message, and views of the tensors in their order.

    Raises:
        ValueError: not a protobuf message.
        TooManyFieldsError: more than `most_fields`.
    """
    view, end, position, kept = memoryview(data), len(data), 0, 0
    rest: list[memoryview] = []
    tensors: list[memoryview] = []
    fields = 0
    while position < end:
        if fields == most_fields:
            raise TooManyFieldsError
        fields += 1
        start = position
        tag, position = _read_varint(data, position)
        wire_type = tag & 7
        if wire_type == _LENGTH_DELIMITED:
            length, position = _read_varint(data, position)
            position += length
            if tag == _RAW_INPUT and position <= end:
                tensors.append(view[position - length : position])
                rest.append(view[kept:start])
                kept = position
        elif wire_type in _SIZES:
            position += _SIZES[wire_type]
        elif wire_type == 0:
            _, position = _read_varint(data, position)
        else:
            raise ValueError(f"wire type {wire_type} at byte {start}")
    if position != end:
        raise ValueError("the message is truncated")
    rest.append(view[kept:])
    return b"".join(rest), tensors


def first_tensor(start: Buffer) -> int:
    """Where the bytes of the first raw tensor begin in a serialized ModelInferRequest, told by its beginning; 0 if that does not tell."""
    position = 0
    try:
        for _ in range(_FIELDS_BEFORE):
            tag, position = _read_varint(start, position)
            if tag & 7 != _LENGTH_DELIMITED:
                return 0
            length, position = _read_varint(start, position)
            if tag == _RAW_INPUT:
                return position
            position += length
    except ValueError:
        pass
    return 0


def check_field_count(rest: bytes, most: int) -> None:
    """Count the fields of a serialized ModelInferRequest and of its inputs and outputs.

    Parsing hundreds of thousands of them takes seconds, during which no other thread runs.

    Raises:
        TooManyFieldsError: there are more than `most`.
        ValueError: not a protobuf message.
    """
    fields = 0
    for tag, _, content in _fields(memoryview(rest)):
        fields += 1 + (sum(1 for _ in _fields(content)) if tag in _TENSORS else 0)
        if fields > most:
            raise TooManyFieldsError


def split_load(data: Buffer) -> tuple[bytes, dict[str, memoryview]]:
    """Cut the large files out of a serialized RepositoryModelLoadRequest.

    Returns:
        The rest of the message, and views of the files by parameter name.

    Raises:
        ValueError: not a protobuf message.
    """
    view = memoryview(data)
    rest: list[memoryview] = []
    files: dict[str, memoryview] = {}
    for tag, field, content in _fields(view):
        file = _large_file(content) if tag == _LOAD_PARAMETER and len(content) > _LARGE_FILE else None
        if file is None:
            rest.append(field)
        else:
            files[file[0]] = file[1]
    return b"".join(rest), files


def _large_file(entry: memoryview) -> tuple[str, memoryview] | None:
    """A load parameter's name and bytes; None if it is anything else."""
    parts = {tag: content for tag, _, content in _fields(entry)}
    key, value = parts.pop(_KEY, memoryview(b"")), parts.pop(_VALUE, memoryview(b""))
    choices = {tag: content for tag, _, content in _fields(value)}
    content = choices.pop(_BYTES_PARAM, None)
    if content is None or parts or choices or len(key) > _LONGEST_NAME:
        return None
    return bytes(key).decode(), content


def _fields(view: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """The fields of a message: tag, the whole field, its content (empty for numbers)."""
    end, position = len(view), 0
    while position < end:
        start = position
        tag, position = _read_varint(view, position)
        content = position
        wire_type = tag & 7
        if wire_type == _LENGTH_DELIMITED:
            length, content = _read_varint(view, position)
            position = content + length
        elif wire_type in _SIZES:
            content = position = position + _SIZES[wire_type]
        elif wire_type == 0:
            _, position = _read_varint(view, position)
            content = position
        else:
            raise ValueError(f"wire type {wire_type} at byte {start}")
        if position > end:
            raise ValueError("the message is truncated")
        yield tag, view[start:position], view[content:position]


def raw_input(size: int) -> bytes:
    """What stands before the bytes of a tensor in a request."""
    return b"%c%b" % (_RAW_INPUT, varint(size))


def raw_output(tensor: Buffer) -> tuple[bytes, Buffer]:
    """A tensor as one `raw_output_contents` entry of a serialized ModelInferResponse, in parts."""
    return _RAW_OUTPUT + varint(memoryview(tensor).nbytes), tensor


def text_field(number: int, text: str) -> bytes:
    """A field of a message that holds a text."""
    content = text.encode()
    return b"%c%b%b" % ((number << 3) | _LENGTH_DELIMITED, varint(len(content)), content)


def varint(value: int) -> bytes:
    """An unsigned number in protobuf's variable-length form."""
    if value <= 0x7F:
        return _ONE_BYTE[value]
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(data: Buffer, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("the message is truncated")
