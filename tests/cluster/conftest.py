"""Asked for the cluster's tests, a run in which all of them were skipped has shown nothing, and says so."""

import pytest

NOTHING = (
    "Nothing was tried: every test of the cluster was skipped, for the reasons above. They need root, Debian's "
    "systemd-container and debootstrap, and `make setup`; then `make test-cluster` brings the rest."
)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    asked = session.config.getoption("markexpr") == "cluster" and not session.config.getoption("collectonly")
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if asked and reporter is not None and session.exitstatus == pytest.ExitCode.OK and not reporter.stats.get("passed"):
        reporter.write_line(NOTHING, red=True)
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
