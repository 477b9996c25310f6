"""Sample documents in our own words, to try the system with. They are no medical advice."""

from pathlib import Path


def samples_folder() -> Path:
    """Return the folder of the samples: Markdown, one document a file."""
    return Path(__file__).resolve().parent
