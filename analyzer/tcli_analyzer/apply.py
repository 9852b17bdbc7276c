"""Puts a recommendation into the user's repository."""

import shutil
from pathlib import Path

from tcli_analyzer.writing import write_atomically
from tcli_server.repository import ModelFolder


def apply_recommendation(folder: ModelFolder, config_text: str, version_folder: Path | None) -> list[str]:
    """Replace the model's config.pbtxt, keeping the old one as config.pbtxt.bak (.bak2, ...), and add a version.

    Nothing is deleted. The new version appears whole (copied aside, then renamed), before the configuration changes.

    Args:
        version_folder: files of the batchable model, which become the next version; None if there is no new file.

    Returns:
        What was changed, one phrase each.

    Raises:
        OSError: the repository cannot be written.
    """
    changes = []
    added = backup = None
    if version_folder is not None:
        number = max(folder.versions(), default=0) + 1
        aside = folder.path / f".tcli-version-{number}"
        shutil.rmtree(aside, ignore_errors=True)
        try:
            shutil.copytree(version_folder, aside)
            added = aside.rename(folder.path / str(number))
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        changes.append(f"added {folder.path / str(number)}/ with the batchable model file; older versions are kept")
    config = folder.config_path
    try:
        if config.exists():
            backup = _free_backup(config)
            shutil.copy2(config, backup)
            changes.append(f"kept the old configuration as {backup}")
        write_atomically(config, config_text)
    except OSError:  # the old configuration does not fit the new version
        if added is not None:
            shutil.rmtree(added, ignore_errors=True)
        if backup is not None:
            backup.unlink(missing_ok=True)
        raise
    changes.append(f"wrote {config}")
    return changes


def _free_backup(config: Path) -> Path:
    number = 1
    while True:
        backup = config.with_name(f"{config.name}.bak{number if number > 1 else ''}")
        if not backup.exists():
            return backup
        number += 1
