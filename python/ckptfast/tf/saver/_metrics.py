"""TensorFlow's own counters of saves and restores, which monitoring reads."""

from __future__ import annotations

import time
from typing import Final

from tensorflow.python.saved_model.pywrap_saved_model import metrics
from tensorflow.python.training import saver as stock

_LABEL: Final = stock._SAVER_LABEL


def saved(begin: float) -> None:
    """Count a save that began at `begin` (of `time.time`)."""
    end = time.time()
    metrics.AddCheckpointWriteDuration(
        api_label=_LABEL, microseconds=stock._get_duration_microseconds(begin, end)
    )
    with stock._END_TIME_OF_LAST_WRITE_LOCK:
        metrics.AddTrainingTimeSaved(
            api_label=_LABEL,
            microseconds=stock._get_duration_microseconds(stock._END_TIME_OF_LAST_WRITE, end),
        )
        stock._END_TIME_OF_LAST_WRITE = end


def size(prefix: str) -> None:
    """Record the size of the files of a checkpoint."""
    metrics.RecordCheckpointSize(api_label=_LABEL, filesize=stock._get_checkpoint_size(prefix))


def restored(begin: float) -> None:
    """Count a restore that began at `begin`."""
    metrics.AddCheckpointReadDuration(
        api_label=_LABEL,
        microseconds=stock._get_duration_microseconds(begin, time.time()),
    )
