"""The version, for packaging, records and reports."""

VERSION = "0.1.0"
