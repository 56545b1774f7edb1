"""Sample what a training takes of its machine."""

from __future__ import annotations

import shutil
import subprocess

import psutil

_MEGABYTE = 1e6
_SECONDS = 5.0

_GPU = ("utilization.gpu", "memory.used", "power.draw")
_GPU_NAMES = ("utilization_percentage", "memory_usage_megabytes", "power_usage_watts")


class MachineLoad:
    """Load of the processors, of memory and of NVIDIA's GPUs.

    The names are those of MLflow's own system metrics, which its page shows apart. ``process_...``
    is the training's memory, that of its child processes included.

    Args:
        process: id of the process that trains.
    """

    def __init__(self, process: int) -> None:
        self._process = process
        self._nvidia = shutil.which("nvidia-smi")
        psutil.cpu_percent()  # the next call counts from here

    def sample(self) -> dict[str, float]:
        """Return the values now, by name; the processors' are of the time since the last call."""
        memory = psutil.virtual_memory()
        values = {
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / _MEGABYTE,
            "system_memory_usage_percentage": memory.percent,
        }
        try:
            process = psutil.Process(self._process)
            family = [process, *process.children(recursive=True)]
            used = sum(member.memory_info().rss for member in family)
            values["process_memory_usage_megabytes"] = used / _MEGABYTE
        except psutil.Error:  # one of them has ended
            pass
        return {f"system/{name}": value for name, value in (values | self._gpus()).items()}

    def _gpus(self) -> dict[str, float]:
        if self._nvidia is None:
            return {}
        command = [self._nvidia, f"--query-gpu={','.join(_GPU)}", "--format=csv,noheader,nounits"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            done = None
        if done is None or done.returncode != 0:
            self._nvidia = None
            return {}
        return read_gpus(done.stdout)


def read_gpus(text: str) -> dict[str, float]:
    """Read what nvidia-smi says of each GPU; what it does not know, as "[N/A]", is left out."""
    values = {}
    for number, line in enumerate(text.splitlines()):
        for name, cell in zip(_GPU_NAMES, line.split(","), strict=False):
            try:
                values[f"gpu_{number}_{name}"] = float(cell)
            except ValueError:
                continue
    return values
