"""The folder for everything that is kept in files."""

from pathlib import Path

from service.errors import StartRefused


def make_data_dir(folder: Path) -> None:
    """Create the folder if it does not exist. Raises `StartRefused`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartRefused(
            f"the data dir {folder} cannot be made ({error.strerror}). Choose another with POSTLUDE_DATA_DIR."
        ) from error
