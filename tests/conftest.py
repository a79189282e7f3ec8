"""What several test files share: one thread, matrices with a known spectrum, users' calls, models."""

import os

import hypothesis
import jaxtyping
import pytest
import torch

hypothesis.settings.register_profile("book", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("book")

torch.set_num_threads(1)  # timings and last digits do not depend on the machine's core count


@pytest.fixture(scope="session")
def with_spectrum():
    """A function (singular values (r,), m, n, seed) -> (m, n) float64 matrix with exactly those values."""

    def build(values, m: int, n: int, seed: int = 0) -> torch.Tensor:
        values = torch.as_tensor(values, dtype=torch.float64)
        generator = torch.Generator().manual_seed(seed)
        U, V = (
            torch.linalg.qr(torch.randn(rows, len(values), generator=generator, dtype=torch.float64)).Q
            for rows in (m, n)
        )
        return (U * values) @ V.mT

    return build


@pytest.fixture
def unchecked_annotations():
    """Annotations unchecked, as in a user's process: bad input meets the module's own errors."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture(scope="session")
def shared_stages(tmp_path_factory):
    """One folder of stages for all test files and all workers of a run: what one makes the others find."""
    folder = tmp_path_factory.getbasetemp()
    return (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "stages"


@pytest.fixture(scope="module")
def setup(shared_stages):
    """The smoke profile: a few training steps, so nothing that it shows is a claim about safety."""
    from lox.lab import setup

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOX_STAGES", str(shared_stages))
        yield setup.load("smoke")


FAULTS = pytest.StashKey[list]()


def pytest_addoption(parser):
    parser.addoption("--write-faults", action="store_true", help="run the tests of faults, write their page")


def pytest_configure(config):
    config.stash[FAULTS] = []


def pytest_collection_modifyitems(config, items):
    if config.getoption("--write-faults"):
        items[:] = [item for item in items if "fault" in item.fixturenames]


@pytest.fixture
def fault(request, unchecked_annotations):
    """Runs a command that meets a fault and asserts what happens: ``faults.Fault``."""
    from faults import Fault

    fault = Fault(request.node, request.config.getoption("--write-faults"))
    yield fault
    if fault.line:
        request.config.stash[FAULTS].append(fault.line)


def pytest_sessionfinish(session, exitstatus):
    """With ``--write-faults``: the page, where every test passed."""
    writing = session.config.getoption("--write-faults") and not session.config.getoption("--collect-only")
    if writing and exitstatus == 0:
        import faults

        faults.PAGE.write_text(faults.page(session.config.stash[FAULTS]))
