//! Inbox: packets that have arrived and were not read yet, in a window of fixed size.

use super::packet::payload_len;

/// The receiver's half of a connection.
pub(super) struct Inbox<const MTU: usize, const WINDOW: usize> {
    /// Packet `seq` lies in slot `seq % WINDOW` of a window that begins at `base`.
    bytes: [[u8; MTU]; WINDOW],
    /// Payload bytes by slot, 0 where nothing has arrived.
    lens: [u16; WINDOW],
    /// The packet that is read now.
    base: u16,
    /// Where it lies.
    slot: usize,
    /// How much of it was read.
    read: usize,
}

impl<const MTU: usize, const WINDOW: usize> Inbox<MTU, WINDOW> {
    pub fn new() -> Self {
        Self {
            bytes: [[0; MTU]; WINDOW],
            lens: [0; WINDOW],
            base: 0,
            slot: 0,
            read: 0,
        }
    }

    pub fn clear(&mut self) {
        self.lens = [0; WINDOW];
        self.base = 0;
        self.slot = 0;
        self.read = 0;
    }

    fn slot(&self, offset: usize) -> usize {
        (self.slot + offset) % WINDOW
    }

    /// Keeps a packet that is in the window and new.
    pub fn store(&mut self, seq: u16, payload: &[u8]) {
        let offset = usize::from(seq.wrapping_sub(self.base));
        if offset >= WINDOW || payload.len() > payload_len(MTU) {
            return;
        }
        let slot = self.slot(offset);
        if self.lens[slot] == 0 {
            self.bytes[slot][..payload.len()].copy_from_slice(payload);
            self.lens[slot] = payload.len() as u16;
        }
    }

    /// Reads what is there in order.
    pub fn recv(&mut self, out: &mut [u8]) -> usize {
        let mut count = 0;
        while count < out.len() && self.lens[self.slot] > 0 {
            let unread = &self.bytes[self.slot][self.read..usize::from(self.lens[self.slot])];
            let len = unread.len().min(out.len() - count);
            out[count..count + len].copy_from_slice(&unread[..len]);
            count += len;
            self.read += len;
            if len == unread.len() {
                self.lens[self.slot] = 0;
                self.slot = self.slot(1);
                self.base = self.base.wrapping_add(1);
                self.read = 0;
            }
        }
        count
    }

    /// All packets before this one were read.
    pub fn base(&self) -> u16 {
        self.base
    }

    /// Bit i: packet `base + i` has arrived.
    pub fn arrived(&self) -> u16 {
        (0..WINDOW).fold(0, |bits, i| {
            bits | u16::from(self.lens[self.slot(i)] > 0) << i
        })
    }

    /// The first packet that is missing.
    pub fn missing(&self) -> u16 {
        self.base
            .wrapping_add(self.arrived().trailing_ones() as u16)
    }
}
