"""Loads the audit plugin, as the repository's own conftest does."""

pytest_plugins = ["pandora_audit.plugin"]
