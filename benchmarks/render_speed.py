"""Pairs per second that cimnet.data.synthetic draws, one process, one thread: python benchmarks/render_speed.py"""

import time

from cimnet.data.synthetic import render


def main() -> None:
    render(0)
    for size, scale in (((256, 320), 0.5), ((256, 320), 1.0), ((512, 640), 1.0)):
        count = 40 if size == (256, 320) else 15
        started = time.perf_counter()
        for index in range(count):
            render(0, split="test", index=index, size=size, scale=scale)
        rate = count / (time.perf_counter() - started)
        print(f"{size[1]}x{size[0]} at scale {scale}: {rate:.1f} pairs/s")


if __name__ == "__main__":
    main()
