"""What the two-party ReLU computes on random shares: at most one unit off in the
truncation, and with h < k some small positives become 0."""

import numpy as np

ACCUMULATOR_BITS = 20


class SharedRelu:
    """Shares y mod 2^20, drops the low bits of each share, and takes the sign
    from the top h bits of each, as the protocol does."""

    def __init__(self, h, seed=0):
        self.h = h
        self.rng = np.random.default_rng(seed)

    def __call__(self, y, shift):
        k = ACCUMULATOR_BITS - shift
        full, wrap = 1 << ACCUMULATOR_BITS, 1 << k
        client = self.rng.integers(0, full, y.shape)
        server = (y - client) % full
        a, b = client >> shift, server >> shift
        u = (a + b) % wrap
        u = np.where(u >= wrap // 2, u - wrap, u)
        top = ((a >> (k - self.h)) + (b >> (k - self.h))) % (1 << self.h)
        return np.where(top < 1 << (self.h - 1), u, 0)
