"""Videos, and folders of frames, classified over one stream: decoded, sent and answered frame by frame, in order."""

from tcli_client.video.arguments import find_videos, looks_like_picture, looks_like_video, open_video
from tcli_client.video.classify import WINDOW, FrameResult, classify_frames
from tcli_client.video.folder import FRAME_RATE
from tcli_client.video.frame import Frame, Sampling, Video

__all__ = [
    "FRAME_RATE",
    "WINDOW",
    "Frame",
    "FrameResult",
    "Sampling",
    "Video",
    "classify_frames",
    "find_videos",
    "looks_like_picture",
    "looks_like_video",
    "open_video",
]
