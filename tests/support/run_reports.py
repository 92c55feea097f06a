"""The reports that runs leave in a project of the lab."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.lab_project import LabProject, Run


def of(project: LabProject, run: Run, command: str) -> dict[str, Any]:
    """The report of a run that has just ended: its three files are private, without secrets, and named at the end."""
    directory = project.directory / ".nested-pve" / "reports"
    name = max(path.stem for path in directory.glob(f"*-{project.stack}-{command}.json"))
    files = [directory / f"{name}.{format_}" for format_ in ("html", "json", "md")]
    assert f"Report: .nested-pve/reports/{files[0].name} " in run.output, run.output
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    given = project.credentials()
    secrets = [given[name] for name in ("rootPassword", "apiPassword", "hostKeySeed")]
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        text = file.read_text()
        assert project.stack in text
        assert [secret for secret in secrets if secret in text] == []
        assert "PRIVATE KEY" not in text
    read: dict[str, Any] = json.loads(files[1].read_text())
    return read
