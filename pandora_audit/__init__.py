"""The Pandora FMS hardening guide as infrastructure tests: the words that a control is written in."""

from pandora_audit.control import Duty, Level, Severity, Subject, control

LOW, MEDIUM, HIGH, CRITICAL = Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL

__all__ = ["CRITICAL", "HIGH", "LOW", "MEDIUM", "Duty", "Level", "Severity", "Subject", "control"]
