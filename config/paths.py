"""Where the project lies, and what it keeps beside its sources."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWN = ROOT / ".nested-pve"
