"""Batch inference on many machines, with Ray Data: files by `RayJob`, a dataset of one's own by `infer`."""

from tcli_batch.ray_data.cluster import Cluster, connected
from tcli_batch.ray_data.dataset import infer
from tcli_batch.ray_data.job import RayJob

__all__ = ["Cluster", "RayJob", "connected", "infer"]
