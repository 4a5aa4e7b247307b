"""Fixtures of the whole suite, and the rule that CI skips nothing."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
REAL = ROOT.parent / "shared" / "real"

# Both are read when TensorFlow is loaded, so they are set here: no log lines below errors, and
# no search for a GPU on a machine without one (it ends in a page of CUDA messages).
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile(
    "any machine",
    hypothesis.settings.default,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("any machine")


@pytest.fixture(scope="session")
def tf() -> ModuleType:
    """TensorFlow, or a skip where it is not installed."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed")
    import tensorflow

    return tensorflow


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of checkpoints that other people's TensorFlow wrote. Read only."""
    if not REAL.is_dir():
        pytest.skip(f"no real checkpoints at {os.path.relpath(REAL, ROOT)}")
    return REAL


@pytest.fixture
def two_processors() -> Iterator[None]:
    """For tests that measure memory: each thread has its own, and the kernel counts per processor.

    Processes that the test starts inherit it.
    """
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(all_of_them)[:2])
    yield
    os.sched_setaffinity(0, all_of_them)


@pytest.fixture(autouse=True)
def _gpu(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("gpu") is not None:
        tensorflow = request.getfixturevalue("tf")
        if not tensorflow.config.list_physical_devices("GPU"):
            pytest.skip("no GPU that TensorFlow can use")


class NoSkipsOnCI:
    """Ends the run with a failure when a test was skipped for anything but a missing GPU.

    A skip on CI means that the machine lacks what the test needs, and so that nothing was tested.
    Registered in the controlling process only: pytest-xdist hands it the reports of its workers.
    """

    def __init__(self) -> None:
        self.skipped: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        expected_failure = hasattr(report, "wasxfail")
        if report.skipped and not expected_failure and "gpu" not in report.keywords:
            self._add(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._add(report)

    def _add(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        self.skipped[report.nodeid] = str(reason)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.skipped:
            terminalreporter.section("CI skips nothing, so this run has failed", red=True)
            for nodeid, reason in sorted(self.skipped.items()):
                terminalreporter.line(f"{nodeid}: {reason}")


class Figures:
    """Prints what tests measured: everything recorded with `record_property("figure", text)`."""

    def __init__(self) -> None:
        self.figures: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.figures += [str(text) for name, text in report.user_properties if name == "figure"]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.figures:
            terminalreporter.section("measured")
            for text in self.figures:
                terminalreporter.line(text)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Figures(), "figures")
    if os.environ.get("CI") == "true" and not hasattr(config, "workerinput"):
        config.pluginmanager.register(NoSkipsOnCI(), "no-skips-on-ci")
