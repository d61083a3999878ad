"""Settings of the property-based tests."""

from __future__ import annotations

from hypothesis import settings

# A machine that compiles beside us says nothing of the code under test.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")
