"""What a person reads about the mistakes of a configuration, and what a program makes of it."""

from pathlib import Path

from tcli_server.repository import (
    ModelFolder,
    apply_edits,
    config_problems,
    read_config_file,
    signature_problems,
    unsupported_problems,
)
from tcli_server.signature import ModelSignature


def told(folder: Path, text: str, model: ModelSignature | None = None) -> list[tuple[str, str | None]]:
    """Each problem as a person reads it, the folder left out, and the text with its fix made."""
    where = ModelFolder("m", folder)
    where.config_path.write_bytes(text.encode("utf-8", "surrogateescape"))
    file = read_config_file(where.config_path)
    problems = [
        *file.problems,
        *config_problems(file.config, where, file.positions),
        *unsupported_problems(file.config, where, file.positions),
        *(signature_problems(file.config, model, where, file.positions) if model is not None else []),
    ]
    return [
        (
            str(problem).replace(f"{where.config_path}:", "").replace(str(folder), "FOLDER"),
            apply_edits(file.text, problem.edits) if problem.edits else None,
        )
        for problem in problems
    ]
