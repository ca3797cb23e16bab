"""A contestant's side of the protocol of bench/harness/side.ts: lines of JSON over standard input and output."""
import json, resource, sys, time


def serve(facts, run):
    """Answer with the facts; for each number read run that many units and answer with what they took; at the end the peak memory.

    `run(count)` gives (milliseconds of the units, losses of the steps).
    """
    answer({"facts": facts})
    for line in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        times, losses = run(int(line))
        answer({"times": times, "losses": losses,
                "cpuMs": (time.process_time() - cpu) * 1e3, "wallMs": (time.perf_counter() - start) * 1e3})
    answer({"peakMb": peak_mb()})


def timed_steps(step):
    """`run` for a function that does one step and gives its loss as a number."""
    def run(count):
        times, losses = [], []
        for _ in range(count):
            start = time.perf_counter()
            losses.append(step())
            times.append((time.perf_counter() - start) * 1e3)
        return times, losses
    return run


def answer(value):
    print(json.dumps(value), flush=True)


def peak_mb():
    """The most memory this process has held, in MB (10^6 bytes)."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024 / 1e6
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
