"""The configuration: one strict model, its cross checks, and how it is read."""

from components.config.errors import ConfigError, Problem
from components.config.load import load
from components.config.model import Config
from components.config.stack_file import NAMESPACE

__all__ = ["NAMESPACE", "Config", "ConfigError", "Problem", "load"]
