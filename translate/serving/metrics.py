"""Metrics of a server as Prometheus reads them: text, one number a line."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histograms' buckets, in seconds."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """Seconds, counted by bucket.

    >>> found = Histogram()
    >>> found.add(0.02)
    >>> list(found.lines("x"))[2]
    'x_bucket{le="0.025"} 1'
    """

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._sum += seconds

    def lines(self, name: str) -> Iterator[str]:
        """The lines of a metric of this name."""
        total = 0
        for bound, count in zip((*BOUNDS, "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._sum:.6f}"
        yield f"{name}_count {total}"


class Metrics:
    """What a server has done; ``gauges`` tell what it is doing. Only the event loop's thread touches it."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        """By route, method and status."""
        self.latency = Histogram()
        """Seconds of translated requests, from their first byte to their answer."""
        self.waited = Histogram()
        """Seconds that decoded images waited for the network."""
        self.computed = Histogram()
        """Seconds of the network's passes, a batch each."""
        self.images = 0
        """Images that went through the network."""
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        """What each tells, and its value now."""

    def text(self) -> str:
        """All metrics."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        yield from _head("translate_requests_total", "counter", "Requests by route, method and status.")
        for (route, method, status), count in sorted(self.requests.items()):
            yield f'translate_requests_total{{route="{route}",method="{method}",status="{status}"}} {count}'
        yield from _head("translate_images_total", "counter", "Images that went through the network.")
        yield f"translate_images_total {self.images}"
        for name, help_text, found in (
            ("translate_request_seconds", "Seconds from a request's first byte to its image.", self.latency),
            ("translate_wait_seconds", "Seconds that decoded images waited for the network.", self.waited),
            ("translate_pass_seconds", "Seconds of the network's passes, a batch each.", self.computed),
        ):
            yield from _head(name, "histogram", help_text)
            yield from found.lines(name)
        for name, (help_text, value) in self.gauges.items():
            yield from _head(name, "gauge", help_text)
            yield f"{name} {value():g}"


def _head(name: str, kind: str, help_text: str) -> tuple[str, str]:
    return f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"
