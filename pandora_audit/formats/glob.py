"""Wildcards in the includes of configuration files."""

from __future__ import annotations

import fnmatch


def same_path(path: str, pattern: str) -> bool:
    """Whether a path is among those that a glob names; a wildcard crosses no slash and meets no leading dot."""
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(
        fnmatch.fnmatchcase(part, glob) and (part[:1] != "." or glob[:1] == ".")
        for part, glob in zip(parts, wanted, strict=True)
    )
