"""What the tests of decisions start from."""

from __future__ import annotations

import pytest

from admin.description import Description
from components import credentials
from components.config import load
from tests.support import program


@pytest.fixture
def dev() -> Description:
    """Stack dev as its file describes it."""
    settings = program.settings(program.stack_file("dev"), program.credentials())
    config = load(settings)
    return Description("dev", config, credentials.load(config, settings, {credentials.STACK_KEY}, {}))
