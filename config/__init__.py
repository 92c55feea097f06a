"""The stack file: one strict model, its cross checks, how it is read, and the credentials that go with it."""

from config.errors import ConfigError, Problem
from config.load import load
from config.model import Config
from config.stack_file import NAMESPACE

__all__ = ["NAMESPACE", "Config", "ConfigError", "Problem", "load"]
