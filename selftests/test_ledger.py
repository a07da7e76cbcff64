"""docs/CONTROLS.md is what tools/ledger.py writes, and forgets no control."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from judging import ROOT, controls

sys.path.insert(0, str(ROOT / "tools"))

import ledger


def test_the_ledger_is_current() -> None:
    assert ledger.TARGET.read_text("utf-8") == ledger.ledger(), "run: python tools/ledger.py"


def test_every_control_answers_a_point_of_the_guide() -> None:
    guide = tomllib.loads(Path(ROOT / "docs" / "guide.toml").read_text("utf-8"))
    named = {id for section in guide["section"] for point in section["points"] for id in point["controls"]}
    assert set(controls()) <= named
