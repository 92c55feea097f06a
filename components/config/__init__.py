"""The configuration: one strict model, its cross checks, and how it is read."""

from components.config.errors import ConfigError, Problem
from components.config.load import NAMESPACE, load
from components.config.model import Config

__all__ = ["NAMESPACE", "Config", "ConfigError", "Problem", "load"]
