"""What an analysis that is gone on with measures again."""

from contextlib import suppress

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.bench import CannotMeasureError
from tcli_analyzer.bench.journaled import FINAL, JournaledBench
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.journal import Journal
from tcli_analyzer.load import ClosedLoad, Load
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.window import Window
from virtual_bench import VirtualBench, fixed

QUICK = VisitOptions(seconds=0.05, warm_up_seconds=0.02)


class Moody(VirtualBench):
    """Has no memory for one configuration, for a while."""

    failing = ""

    def visit(self, configuration: Configuration, load: Load, options: VisitOptions) -> list[Window]:
        if configuration.label == self.failing:
            raise CannotMeasureError("out of memory")
        return super().visit(configuration, load, options)


def test_what_failed_is_tried_again_and_then_raced_with_all(tmp_path):
    big, small = (Configuration(label, 0, 1, ModelConfig()) for label in ("big", "small"))
    path = tmp_path / "journal.jsonl"
    bench = Moody(fixed(0.01))
    bench.failing = big.label

    def analyzed(resume: bool) -> list[bool]:
        """Whether each of the visits came from the journal."""
        came = []
        with Journal(path, {}, resume) as journal:
            kept = JournaledBench(bench, journal)
            for stage, one in (("search", big), ("search", small), (FINAL, small), (FINAL, small)):
                kept.stage, before = stage, kept.resumed
                with suppress(CannotMeasureError):
                    kept.visit(one, ClosedLoad(1), QUICK)
                came.append(kept.resumed > before)
        return came

    assert analyzed(resume=False) == [False] * 4
    assert analyzed(resume=True) == [False, True, True, True]  # still no memory
    bench.failing = ""
    assert analyzed(resume=True) == [False, True, False, False]
    assert analyzed(resume=True) == [True] * 4
