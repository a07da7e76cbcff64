"""Sixty checks of one host, judged in two ways: by controls of this audit and by tests of stock testinfra."""
