"""One analysis of a model with a fixed batch of 1, for the tests that look at what it left."""

import pytest

from analysis_runs import Done, run, write_fixed_model


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    root = tmp_path_factory.mktemp("analysis")
    return run(write_fixed_model(root / "models"), "fixed", root / "output")
