"""What a V2 server does from one moment to the next: its counters and metrics read twice, and what follows from that."""

from tcli_client.watch.rates import Activity, ModelActivity, PercentilesOf, activity
from tcli_client.watch.sample import Buckets, Gpu, Machine, ModelSample, Sample
from tcli_client.watch.sampling import Watcher, guessed_metrics_url

__all__ = [
    "Activity",
    "Buckets",
    "Gpu",
    "Machine",
    "ModelActivity",
    "ModelSample",
    "PercentilesOf",
    "Sample",
    "Watcher",
    "activity",
    "guessed_metrics_url",
]
