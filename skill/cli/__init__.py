"""The command line: thin calls into the rest of Strop. `main` is the entry point `strop`."""

from strop.cli.app import main

__all__ = ["main"]
