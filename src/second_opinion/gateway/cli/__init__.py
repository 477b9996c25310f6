"""The command line: `opinion`."""

from second_opinion.gateway.cli.program import main

__all__ = ["main"]
