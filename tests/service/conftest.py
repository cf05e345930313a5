"""Fixtures of the service tests; REJECTD_BUILD names the build folder that is tested."""

import pytest

from daemon import Daemon


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """One daemon for the tests of a file; it must end cleanly after the last of them."""
    daemon = Daemon(tmp_path_factory.mktemp("rejectd")).start()
    yield daemon
    daemon.stop()


@pytest.fixture
def api(daemon):
    return daemon.api


@pytest.fixture
def own_daemon(tmp_path):
    """Makes daemons for a single test, which may stop, kill and start them as it likes."""
    made = []

    def make(*arguments, environment=None, folder=None):
        daemon = Daemon(folder or tmp_path, arguments, environment)
        made.append(daemon)
        return daemon.start()

    yield make
    for daemon in made:
        if daemon.alive():
            daemon.stop()


@pytest.fixture
def unchanged(api):
    """The lists of resources must be after the test what they were before it."""
    kinds = ("datasets", "jobs", "models")
    before = {kind: api.listed(kind) for kind in kinds}
    yield
    assert {kind: api.listed(kind) for kind in kinds} == before
