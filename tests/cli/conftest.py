"""The command line as its users have it."""

from tests.cli_fixtures import environment, home, llmos

__all__ = ["environment", "home", "llmos"]
