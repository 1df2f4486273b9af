"""What the two-party ReLU computes on random shares: at most one unit off in the
truncation, and with h < k some small positives become 0."""

import numpy as np

ACCUMULATOR_BITS = 20


def share_bits(shift, h):
    """k, of which a comparison takes at most all."""
    bits = ACCUMULATOR_BITS - shift
    if not 1 <= h <= bits:
        raise ValueError(f"h = {h} of shares with {bits} bits")
    return bits


class SharedRelu:
    """Shares y mod 2^20, drops the low bits of each share, and takes the sign
    from the top h bits of each, as the protocol does."""

    def __init__(self, h, seed=0):
        self.h = h
        self.rng = np.random.default_rng(seed)

    def __call__(self, y, shift):
        bits = share_bits(shift, self.h)
        full, wrap = 1 << ACCUMULATOR_BITS, 1 << bits
        client = self.rng.integers(0, full, y.shape, dtype=np.int32)
        server = (y.astype(np.int32) - client) & (full - 1)
        a, b = client >> shift, server >> shift
        u = (a + b) & (wrap - 1)
        u -= (u >= wrap // 2) * np.int32(wrap)
        top = ((a >> (bits - self.h)) + (b >> (bits - self.h))) & ((1 << self.h) - 1)
        return np.where(top < 1 << (self.h - 1), u, 0)
