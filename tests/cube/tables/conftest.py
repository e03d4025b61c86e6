"""The descriptor of a test's own, for tables that services give."""

from tests.catalog.dialects.conftest import describe

__all__ = ["describe"]
