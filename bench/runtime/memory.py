"""Memory that was freed stays with the process, for what it allocates next.

By default glibc gives memory back to the kernel as soon as much of it is free. A pass of a network frees all that it
allocated, and the next one allocates it again: the kernel clears every page of it every time, which on a CPU is an eighth of
the time of a pass. Blocks that a pass of a large network may have, of more than 32 MB, still go back at once: glibc has no
higher threshold.
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h, see mallopt(3)
LARGEST = 32 * 2**20  # bytes


def keep():
    """What is freed from now on stays until the process ends, blocks over `LARGEST` aside. Without glibc it changes nothing."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_TRIM_THRESHOLD, -1)  # never
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST)
