"""Measure what the metrics agent costs: processor time for each sample, and memory over many.

Samples are taken in a process of its own through NVML's C interface, with a made-up
libnvidia-ml.so.1 of 0, 1 and 8 GPUs (built from tests/agent/fake_nvml.c), or with the machine's
own driver (``--real``). A made-up GPU answers at once, so what a real driver takes for itself
comes on top; the sample's own share is what is printed.

    python benchmarks/agent.py [--samples 2000] [--real]

"1 Hz" is the share of a core for one sample a second with one stream open, measured over
``--seconds`` of real streaming; the limit is 1 %.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
SONAME = "libnvidia-ml.so.1"


def build(folder: Path) -> None:
    """Compile the made-up driver."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        sys.exit("no C compiler: install gcc, or measure with --real")
    source = REPO / "tests" / "agent" / "fake_nvml.c"
    command = [compiler, "-shared", "-fPIC", "-pthread", f"-Wl,-soname,{SONAME}"]
    subprocess.run([*command, "-o", str(folder / SONAME), str(source)], check=True)


async def sample(samples: int) -> dict[str, float]:
    """Take samples as fast as it goes; both texts are made of each, as for JSON and Prometheus."""
    import psutil

    from comfynb_agent import openmetrics
    from comfynb_agent.collector import Collector
    from comfynb_agent.disks import DiskReader
    from comfynb_agent.nvml import NvmlReader
    from comfynb_agent.queues import NoQueue

    collector = Collector(
        gpus=NvmlReader(),
        disks=DiskReader(lambda: [("models", "/")]),
        queue=NoQueue(),
        backend_id="benchmark",
        mode="standalone",
    )
    process = psutil.Process()
    for _ in range(50):
        snapshot = await collector.snapshot(0)
    memory = process.memory_info().rss
    begin = time.process_time()
    for _ in range(samples):
        snapshot = await collector.snapshot(0)
        size = len(snapshot.body)
    as_json = (time.process_time() - begin) / samples
    begin = time.process_time()
    for _ in range(samples):
        text = openmetrics.render(snapshot.data)
    as_text = (time.process_time() - begin) / samples
    grown = process.memory_info().rss - memory
    await collector.close()
    return {
        "gpus": len(snapshot.data["gpus"]),
        "sample_ms": as_json * 1000,
        "openmetrics_ms": as_text * 1000,
        "json_bytes": size,
        "openmetrics_bytes": len(text),
        "grown_kib": grown / 1024,
    }


def stream(environment: dict[str, str], seconds: float) -> dict[str, float]:
    """Stream at 1 Hz from the command itself and look at its processor time."""
    import psutil

    command = [sys.executable, "-m", "comfynb_agent", "--port", "0", "--folder", "models=/"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as agent:
        try:
            assert agent.stdout is not None
            url = json.loads(agent.stdout.readline())["url"]
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            process = psutil.Process(agent.pid)
            with opener.open(f"{url}/comfynb/metrics/stream?interval=1", timeout=30) as answer:
                for _ in range(8):  # two events: everything has been read once
                    answer.readline()
                times, begin, events = process.cpu_times(), time.monotonic(), 0
                while time.monotonic() - begin < seconds:
                    events += answer.readline() == b"\n"
                spent = process.cpu_times()
                took = time.monotonic() - begin
                memory = process.memory_info().rss
        finally:
            agent.terminate()
    cpu = spent.user + spent.system - times.user - times.system
    return {"share": cpu / took, "events": events, "took": took, "rss_mib": memory / 1024**2}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--real", action="store_true", help="measure with this machine's driver")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(asyncio.run(sample(arguments.samples))))
        return
    with tempfile.TemporaryDirectory() as folder:
        environments = {"real": dict(os.environ)}
        if not arguments.real:
            build(Path(folder))
            environments = {
                str(count): {**os.environ, "LD_LIBRARY_PATH": folder, "FAKE_NVML_GPUS": str(count)}
                for count in (0, 1, 8)
            }
        print(
            "GPUs  CPU/sample  CPU/OpenMetrics   JSON    OpenMetrics  growth over",
            arguments.samples,
        )
        for environment in environments.values():
            command = [sys.executable, __file__, "--worker", "--samples", str(arguments.samples)]
            done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
            told = json.loads(done.stdout)
            print(
                f"{told['gpus']:>4}  {told['sample_ms']:>7.2f} ms"
                f"  {told['openmetrics_ms']:>12.2f} ms  {told['json_bytes']:>6} B"
                f"  {told['openmetrics_bytes']:>8} B"
                f"  {told['grown_kib']:>9.0f} KiB"
            )
        for name, environment in environments.items():
            told = stream(environment, arguments.seconds)
            print(
                f"1 Hz, GPUs {name}: {told['share'] * 100:.2f} % of a core over "
                f"{told['took']:.0f} s ({told['events']} samples), {told['rss_mib']:.0f} MiB"
            )


if __name__ == "__main__":
    main()
