"""Takes what lies beside a model into its configuration, as far as it fits the model, and says so."""

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.errors import InvalidArgumentError
from tcli_server.zoo.beside import Beside
from tcli_server.zoo.labels import LABEL_FILE, class_counts, labelled_output
from tcli_server.zoo.picture_parameters import PREFIX, picture_parameters
from tcli_server.zoo.pictures import read_taken


def take_labels(config: ModelConfig, known: Beside, notes: list[str]) -> list[str]:
    """The class names, if an output has so many classes, or one alone does not say how many; else none."""
    if not known.labels:
        return []
    count = len(known.labels)
    output = labelled_output(config, count, certain=True)
    if output is None:
        notes.append(
            f"{known.labels_from} was not used: it names {count} classes, but no output has as many: {class_counts(config)}"
        )
        return []
    output.label_filename = LABEL_FILE
    notes.append(f"the {count} class names of '{output.name}' are from {known.labels_from}")
    return list(known.labels)


def take_pictures(config: ModelConfig, known: Beside, notes: list[str]) -> None:
    """Write parameters that say how a picture becomes the input, for a model that takes one."""
    if known.pictures is None:
        return
    try:
        taken = read_taken(config, [])
    except InvalidArgumentError as error:
        notes.append(f"{known.pictures_from} was not used: {error}")
        return
    parameters, unfit = picture_parameters(known.pictures, config, taken.given_picture)
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    told = ", ".join(f"{key.removeprefix(PREFIX)} {value}" for key, value in parameters.items())
    if told:
        notes.append(f"how a picture becomes the input is from {known.pictures_from}: {told}")
    notes += [f"{known.pictures_from}: {reason}" for reason in unfit]
