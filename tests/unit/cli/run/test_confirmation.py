"""Nothing is changed when nobody could be asked."""

from __future__ import annotations

import pytest

from cli.run import confirmation
from cluster.errors import AdminError


class Nobody:
    """No terminal."""

    def isatty(self) -> bool:
        return False


def test_without_a_terminal_the_answer_is_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Nobody())
    with pytest.raises(AdminError) as refused:
        confirmation.confirm("Make these changes?")
    assert refused.value.code == "not-confirmed"
    assert refused.value.expected == "--yes"
