"""The quick part of `make chaos`: faults without a test of their own, at least once; nothing is lost, nothing lies."""

from pathlib import Path

import pytest
from chaos import Chaos
from chaos_faults import FAULTS

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("chaos")]  # they share the run that nothing disturbs


@pytest.fixture(scope="module")
def chaos(cache: Path, tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOCUS_CACHE", str(cache))
        yield Chaos(tmp_path_factory.mktemp("chaos"), seed=1, epochs=3)


@pytest.mark.parametrize(("fault", "times"), [(fault, quick) for fault, _, quick in FAULTS if quick])
def test_fault(chaos: Chaos, fault, times):
    try:
        score = fault(chaos, times)
    except PermissionError as error:
        pytest.skip(f"nothing may be mounted here: {error}")
    assert score.inflicted == times
    assert score.harm == 0, score
