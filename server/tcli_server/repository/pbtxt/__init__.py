"""protobuf text format, read with every mistake in it told, and the place of every field kept."""

from tcli_server.repository.pbtxt.reader import read_message
from tcli_server.repository.pbtxt.scalars import quoted

__all__ = ["quoted", "read_message"]
