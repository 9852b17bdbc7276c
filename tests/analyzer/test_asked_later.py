"""What a real analysis leaves answers questions later, without measuring."""

import json

import pytest

from analysis_runs import run, write_fixed_model
from tcli_analyzer.between import between
from tcli_analyzer.earlier import read_earlier
from tcli_analyzer.load import ClosedLoad, OpenLoad
from tcli_analyzer.options import SearchKind
from tcli_analyzer.prediction.scenario import Scenario, look_ahead, stored_tables, usual_loads
from tcli_analyzer.prediction.what_if import Question
from tcli_analyzer.rate.slo import parse_slo

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asked_later")
    write_fixed_model(folder / "models")
    return run(folder / "models", "fixed", folder / "out", search=SearchKind.QUICK, search_seconds=5.0)


def test_its_tables_answer_for_loads_that_nobody_measured(done):
    earlier = read_earlier(done.written.json.parent)
    assert earlier.model == "fixed"
    assert {load for load in usual_loads(earlier) if isinstance(load, ClosedLoad)} <= {ClosedLoad(1), ClosedLoad(4)}
    tables = stored_tables(earlier)
    loads = [ClosedLoad(3), OpenLoad(50)]
    outlook = look_ahead(tables, Scenario(Question(loads, batch_limits=(1,))))
    assert len(outlook.answers) == 2 * len(tables.tables)
    assert all(answer.throughput > 0 for answer in outlook.answers)
    assert "A prediction: nothing was measured" in outlook.sentence()
    json.dumps(outlook.document(), allow_nan=False)


def test_its_tables_say_a_rate(done):
    tables = stored_tables(read_earlier(done.written.json))
    outlook = look_ahead(tables, Scenario(Question((), batch_limits=(1,)), slo=parse_slo("p99<=500ms")))
    assert outlook.rates[0].requests_per_second > 0


def test_it_tells_what_made_it_and_what_the_generator_can_do(done):
    document = read_earlier(done.written.json).document
    assert {"files", "inputs", "current", "configurations", "loads"} <= document["identity"].keys()
    assert document["generator"]["closed"] > 100
    assert all(isinstance(row["flaw"], str) for row in document["points"])


def test_compared_with_itself_nothing_differs(done):
    earlier = read_earlier(done.written.json.parent)
    found = between(earlier, earlier)
    assert found.differences == ()
    assert {one.change.value for one in found.common} <= {"no difference can be told"}
    assert found.common or found.obstacles  # on a busy machine nothing is proven
    json.dumps(found.document(), allow_nan=False)


def test_another_space_and_other_model_files_are_seen(done, tmp_path):
    model = done.repository / "fixed" / "labels.txt"
    text = model.read_text()
    model.write_text("f\n" + text)
    try:
        other = run(done.repository, "fixed", tmp_path, search=SearchKind.GRID)
    finally:
        model.write_text(text)
    found = between(read_earlier(done.written.json), read_earlier(other.written.json))
    what = {one.what for one in found.differences}
    assert {"model files (or their dates)", "search"} <= what
    assert "loads that were tried" not in what
