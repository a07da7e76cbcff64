"""Loads the audit plugin; everything else is in the package."""

pytest_plugins = ["pandora_audit.plugin"]
