# SPDX-License-Identifier: Apache-2.0
"""How busy others keep the CPUs of this process while a benchmark runs. Only the standard library is needed."""
import os


class Watch:
    """Counts from when it is made. Children count as own once they have been waited for."""

    def __init__(self):
        try:
            self.start = self.read()
        except OSError:
            self.start = None

    @staticmethod
    def read():
        """(total, used, own) seconds of the CPUs that this process may use."""
        tick = os.sysconf("SC_CLK_TCK")
        wanted = {f"cpu{n}" for n in os.sched_getaffinity(0)}
        with open("/proc/stat", encoding="ascii") as file:
            rows = [[int(x) / tick for x in line.split()[1:9]] for line in file if line.split()[0] in wanted]
        own = os.times()
        return sum(map(sum, rows)), sum(sum(row[:3]) + sum(row[5:7]) for row in rows), sum(own[:4])

    def others(self):
        """The share that others used since; None if the system does not say or the time was too short."""
        if self.start is None:
            return None
        total, used, own = (now - then for now, then in zip(self.read(), self.start))
        return min(max((used - own) / total, 0), 1) if total > 0.2 else None

    def text(self):
        """A paragraph for below a table; empty if it is not known."""
        share = self.others()
        return "" if share is None else f"\nOthers used {100 * share:.0f} % of the {len(os.sched_getaffinity(0))} CPUs meanwhile.\n"

