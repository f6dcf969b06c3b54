"""For every test: no example of a property test fails because the machine was busy; and the long ones begin first."""

import pytest
from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those with the whole program, then those of minutes: whatever is left when a worker has nothing more to do is short."""
    items.sort(key=lambda item: (item.get_closest_marker("timeout") is None, item.get_closest_marker("e2e") is None))
