"""What configurations are called: by what differs from the model's own, so that a label says the same in every analysis."""

from tcli_analyzer.configuration import label_of
from tcli_analyzer.space.settings import Settings, knobs_of

_GRAPH_WORDS = {0: "all optimizations", -1: "basic optimizations", 1: "extended optimizations", 2: "no optimizations"}


def variant_label(max_batch_size: int, instances: int, settings: Settings, own: Settings) -> str:
    """Such as "batch 4, 2 instances, openvino bf16, delay 1 ms".

    Args:
        settings: of the variant.
        own: of the model's own configuration, with which nothing is said that is the same.
    """
    parts = [label_of(max_batch_size, instances), _engine(settings, own)]
    if settings.threads != own.threads:
        parts.append(f"{settings.threads} thread{'s' * (settings.threads != 1)}" if settings.threads else "own threads")
    if settings.graph_level != own.graph_level:
        parts.append(_GRAPH_WORDS.get(settings.graph_level, f"graph level {settings.graph_level}"))
    if max_batch_size > 1:
        if settings.queue_delay_us != own.queue_delay_us:
            parts.append(f"delay {_time(settings.queue_delay_us)}" if settings.queue_delay_us else "no delay")
        wanted = tuple(size for size in own.preferred_batch_sizes if size <= max_batch_size)
        if settings.preferred_batch_sizes != wanted:
            sizes = "+".join(map(str, settings.preferred_batch_sizes))
            parts.append(f"preferred {sizes}" if sizes else "no preferred sizes")
    return ", ".join(part for part in parts if part)


def _engine(settings: Settings, own: Settings) -> str:
    words = []
    if settings.engine != own.engine:
        words.append(settings.engine)
    is_choice = len(knobs_of(settings.engine).providers) > 1
    usual = own.provider if settings.engine == own.engine else "cpu"
    if is_choice and settings.provider != usual:
        words.append(f"{settings.engine}+{settings.provider}" if not words else f"with {settings.provider}")
    if settings.precision and (words or settings.precision != own.precision):
        words.append(settings.precision)
    elif settings.precision != own.precision and not words:
        words.append("precision of the engine's choice")
    return " ".join(words)


def _time(microseconds: int) -> str:
    return f"{microseconds / 1000:g} ms" if microseconds >= 1000 else f"{microseconds} µs"
