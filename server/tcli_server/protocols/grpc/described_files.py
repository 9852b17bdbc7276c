"""What the protocols of health checks and of reflection look like, for reflection.

Written as tables: the packages that have them pin the versions of grpcio and protobuf, which is too much for a page of names.
Sources: https://github.com/grpc/grpc-proto/tree/master/grpc/health/v1 and grpc/reflection
"""

from collections.abc import Mapping

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

_SCALARS = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "int32": FieldDescriptorProto.TYPE_INT32,
}

_Fields = Mapping[str, tuple[int, str]]
"""Name -> number and type: a scalar, or a message of the same file; `repeated` or the name of a oneof may be before it."""


def _file(name: str, package: str, messages: Mapping[str, _Fields]) -> FileDescriptorProto:
    file = FileDescriptorProto(name=name, package=package, syntax="proto3")
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for field_name, (number, written) in fields.items():
            *before, kind = written.split()
            field = message.field.add(name=field_name, number=number)
            repeated = before == ["repeated"]
            field.label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            elif kind in messages:
                field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                field.type, field.type_name = FieldDescriptorProto.TYPE_ENUM, f".{package}.{message_name}.{kind}"
            if before and not repeated:
                if not message.oneof_decl:
                    message.oneof_decl.add(name=before[0])
                field.oneof_index = 0
    return file


def _health() -> FileDescriptorProto:
    package = "grpc.health.v1"
    messages: dict[str, _Fields] = {
        "HealthCheckRequest": {"service": (1, "string")},
        "HealthCheckResponse": {"status": (1, "ServingStatus")},
    }
    file = _file("grpc/health/v1/health.proto", package, messages)
    states = file.message_type[1].enum_type.add(name="ServingStatus")
    for number, name in enumerate(("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")):
        states.value.add(name=name, number=number)
    service = file.service.add(name="Health")
    for name in ("Check", "Watch"):
        service.method.add(
            name=name,
            input_type=f".{package}.HealthCheckRequest",
            output_type=f".{package}.HealthCheckResponse",
            server_streaming=name == "Watch",
        )
    return file


def _reflection(version: str) -> FileDescriptorProto:
    package = f"grpc.reflection.{version}"
    asked, told = "message_request", "message_response"
    messages: dict[str, _Fields] = {
        "ServerReflectionRequest": {
            "host": (1, "string"),
            "file_by_filename": (3, f"{asked} string"),
            "file_containing_symbol": (4, f"{asked} string"),
            "file_containing_extension": (5, f"{asked} ExtensionRequest"),
            "all_extension_numbers_of_type": (6, f"{asked} string"),
            "list_services": (7, f"{asked} string"),
        },
        "ExtensionRequest": {"containing_type": (1, "string"), "extension_number": (2, "int32")},
        "ServerReflectionResponse": {
            "valid_host": (1, "string"),
            "original_request": (2, "ServerReflectionRequest"),
            "file_descriptor_response": (4, f"{told} FileDescriptorResponse"),
            "all_extension_numbers_response": (5, f"{told} ExtensionNumberResponse"),
            "list_services_response": (6, f"{told} ListServiceResponse"),
            "error_response": (7, f"{told} ErrorResponse"),
        },
        "FileDescriptorResponse": {"file_descriptor_proto": (1, "repeated bytes")},
        "ExtensionNumberResponse": {"base_type_name": (1, "string"), "extension_number": (2, "repeated int32")},
        "ListServiceResponse": {"service": (1, "repeated ServiceResponse")},
        "ServiceResponse": {"name": (1, "string")},
        "ErrorResponse": {"error_code": (1, "int32"), "error_message": (2, "string")},
    }
    file = _file(f"grpc/reflection/{version}/reflection.proto", package, messages)
    file.service.add(name="ServerReflection").method.add(
        name="ServerReflectionInfo",
        input_type=f".{package}.ServerReflectionRequest",
        output_type=f".{package}.ServerReflectionResponse",
        client_streaming=True,
        server_streaming=True,
    )
    return file


HEALTH = _health()
REFLECTIONS = (_reflection("v1"), _reflection("v1alpha"))
