"""Telling what was concluded. Nothing here asks or judges."""
