"""A model's configuration from its metadata, for servers that have no more to say."""

from tritonclient.grpc import service_pb2
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

_NAMES = {"BYTES": "TYPE_STRING"}


def config_of_metadata(metadata: service_pb2.ModelMetadataResponse) -> ModelConfig:
    """A configuration without batching, so that shapes are those of the metadata."""
    config = ModelConfig(name=metadata.name, platform=metadata.platform)
    for tensor in metadata.inputs:
        config.input.add(name=tensor.name, data_type=_type(tensor.datatype), dims=tensor.shape)
    for tensor in metadata.outputs:
        config.output.add(name=tensor.name, data_type=_type(tensor.datatype), dims=tensor.shape)
    return config


def _type(datatype: str) -> DataType:
    return DataType.Value(_NAMES.get(datatype, f"TYPE_{datatype}"))
