//! A ring of received bytes.

/// Bytes that fit: what a peer may send while the client computes (see `crate::line`).
pub const SIZE: usize = if cfg!(program = "answers") {
    1024
} else {
    2048
};

/// The ring.
pub struct Ring {
    bytes: [u8; SIZE],
    first: usize,
    len: usize,
}

impl Ring {
    /// An empty ring.
    pub const fn new() -> Self {
        Self {
            bytes: [0; SIZE],
            first: 0,
            len: 0,
        }
    }

    /// Whether a further byte would be lost.
    pub fn is_full(&self) -> bool {
        self.len == SIZE
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a byte, if there is room.
    pub fn push(&mut self, byte: u8) {
        if !self.is_full() {
            self.bytes[(self.first + self.len) % SIZE] = byte;
            self.len += 1;
        }
    }

    /// Moves bytes to `out`, as many as there are and fit.
    pub fn take(&mut self, out: &mut [u8]) -> usize {
        let count = out.len().min(self.len);
        for byte in &mut out[..count] {
            *byte = self.bytes[self.first];
            self.first = (self.first + 1) % SIZE;
        }
        self.len -= count;
        count
    }
}
