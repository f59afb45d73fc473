"""What the tests of this folder share: claims that are run once, whichever of the workers asks first."""

import io
import os

import pytest
from program import ENVIRONMENT, SEED, Finished, rdml


@pytest.fixture(scope="session")
def common(tmp_path_factory):
    """A folder that all workers have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def finished(common):
    """The checks that some test has finished, kept as an interrupted run keeps them."""
    (common / "checks").mkdir(exist_ok=True)
    return Finished(common / "checks")


@pytest.fixture(scope="module", autouse=True)
def _cache(common):
    """No test sees what the user's own runs have cached."""
    with pytest.MonkeyPatch.context() as patch:
        for where in (ENVIRONMENT, os.environ):
            patch.setitem(where, "XDG_CACHE_HOME", str(common / "cache"))
        yield


@pytest.fixture(scope="session")
def results(tmp_path_factory, finished):
    """The folder of a run of two claims, and what the program said."""
    folder = tmp_path_factory.mktemp("out") / "results"
    finished.run("C14", "C2a")
    finished.lay_out(folder)
    result = rdml("run", "C14", "c2a", "--out", folder, "--seed", SEED)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder, result


@pytest.fixture
def undrawn(monkeypatch):
    """Figures of a single point, where a test is about the files."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (1, 1)).save(stream, format="PNG")

    def pictures(run, *, ids=None, formats=("png", "svg", "pdf", "csv"), size="screen", jobs=1):
        return {
            claim.id: dict.fromkeys(formats, stream.getvalue())
            for claim in run.claims
            if claim.id in (ids or [claim.id])
        }

    monkeypatch.setattr("verify.plots.render_all", pictures)
