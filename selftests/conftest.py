"""What the project's own tests share."""

from hypothesis import settings

# The same examples in every run: a failure is of the change at hand. `--hypothesis-profile=default` seeks others.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")
