//! Outbox: packets that were not acknowledged yet, in a window of fixed size.
//! A packet is lost when packets sent after it have arrived (as in RFC 8985), or when the timer says so.

/// A packet is taken for lost when one that was sent so many transmissions later has arrived. More
/// than one wins nothing in the simulation, even where one packet of twenty is overtaken.
const REORDER: u64 = 1;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Not sent yet; may still grow.
    Unsent,
    /// Sent as transmission number `order`, at time `at`.
    Sent { order: u64, at: u64, again: bool },
    /// Must be sent again.
    Lost,
    /// Acknowledged, but not yet read by the peer's application.
    Arrived,
}

#[derive(Clone, Copy)]
struct Slot<const MTU: usize> {
    bytes: [u8; MTU],
    len: usize,
    fate: Fate,
}

/// The sender's half of a connection.
pub(super) struct Outbox<const MTU: usize, const WINDOW: usize> {
    slots: [Slot<MTU>; WINDOW],
    /// The oldest packet that was not released by the peer.
    base: u16,
    /// Where it lies.
    slot: usize,
    /// Packets that are there.
    count: usize,
    /// The last packet goes out even if it is not full.
    flush: bool,
    /// Payload of a full packet.
    payload: usize,
    /// Packets that the peer has room for.
    window: usize,
    /// Transmissions so far.
    order: u64,
    /// The latest transmission that is known to have arrived.
    latest: u64,
}

/// What an acknowledgement told.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct News {
    /// It acknowledged or released something.
    pub progress: bool,
    /// Round trip of a packet that was sent once.
    pub rtt: Option<u64>,
}

impl<const MTU: usize, const WINDOW: usize> Outbox<MTU, WINDOW> {
    pub fn new() -> Self {
        let slot = Slot {
            bytes: [0; MTU],
            len: 0,
            fate: Fate::Unsent,
        };
        Self {
            slots: [slot; WINDOW],
            base: 0,
            slot: 0,
            count: 0,
            flush: false,
            payload: 0,
            window: 0,
            order: 0,
            latest: 0,
        }
    }

    /// Empties it for a connection with packets of `payload` bytes, `window` of them at once.
    pub fn clear(&mut self, payload: usize, window: usize) {
        self.base = 0;
        self.slot = 0;
        self.count = 0;
        self.flush = false;
        self.payload = payload.min(MTU);
        self.window = window.min(WINDOW);
        self.order = 0;
        self.latest = 0;
    }

    fn slot(&mut self, offset: usize) -> &mut Slot<MTU> {
        &mut self.slots[(self.slot + offset) % WINDOW]
    }

    fn iter(&self) -> impl Iterator<Item = &Slot<MTU>> {
        (0..self.count).map(|offset| &self.slots[(self.slot + offset) % WINDOW])
    }

    /// Takes what fits.
    pub fn send(&mut self, mut bytes: &[u8]) -> usize {
        let before = bytes.len();
        let payload = self.payload;
        while !bytes.is_empty() {
            let grows = |slot: &Slot<MTU>| slot.fate == Fate::Unsent && slot.len < payload;
            if !self.iter().last().is_some_and(grows) {
                if self.count >= self.window {
                    break;
                }
                self.flush = false;
                self.count += 1;
                let slot = self.slot(self.count - 1);
                (slot.len, slot.fate) = (0, Fate::Unsent);
            }
            let slot = self.slot(self.count - 1);
            let (now, later) = bytes.split_at(bytes.len().min(payload - slot.len));
            slot.bytes[slot.len..slot.len + now.len()].copy_from_slice(now);
            slot.len += now.len();
            bytes = later;
        }
        before - bytes.len()
    }

    /// Sends the last packet even if it is not full.
    pub fn flush(&mut self) {
        self.flush = true;
    }

    /// Packets that may be under way at once, either way: the smaller of both sides' windows.
    pub fn window(&self) -> usize {
        self.window
    }

    /// The next packet that should go out: its number and payload. It counts as sent.
    pub fn transmit(&mut self, now: u64) -> Option<(u16, &[u8])> {
        let (payload, flush) = (self.payload, self.flush);
        let lost = self.iter().position(|slot| slot.fate == Fate::Lost);
        let ready = |slot: &Slot<MTU>| slot.fate == Fate::Unsent && (flush || slot.len == payload);
        let offset = lost.or_else(|| self.iter().position(ready))?;
        self.order += 1;
        let (order, seq) = (self.order, self.base.wrapping_add(offset as u16));
        let slot = self.slot(offset);
        slot.fate = Fate::Sent {
            order,
            at: now,
            again: lost.is_some(),
        };
        Some((seq, &slot.bytes[..slot.len]))
    }

    /// Takes an acknowledgement: all before `ack` were read, `ack + i` has arrived if bit i is set.
    pub fn acknowledge(&mut self, now: u64, ack: u16, arrived: u16) -> News {
        let mut news = News::default();
        let released = usize::from(ack.wrapping_sub(self.base));
        if released > self.count {
            return news;
        }
        for offset in 0..self.count {
            let bit = offset.checked_sub(released).map_or(1, |i| arrived >> i & 1);
            let slot = self.slot(offset);
            if bit == 0 || matches!(slot.fate, Fate::Arrived | Fate::Unsent) {
                continue;
            }
            news.progress = true;
            if let Fate::Sent { order, at, again } = slot.fate {
                if !again {
                    news.rtt = Some(now.saturating_sub(at));
                }
                self.latest = self.latest.max(order);
            }
            self.slot(offset).fate = Fate::Arrived;
        }
        news.progress |= released > 0;
        self.base = ack;
        self.slot = (self.slot + released) % WINDOW;
        self.count -= released;
        let latest = self.latest;
        for offset in 0..self.count {
            let slot = self.slot(offset);
            if matches!(slot.fate, Fate::Sent { order, .. } if order + REORDER <= latest) {
                slot.fate = Fate::Lost;
            }
        }
        news
    }

    /// Takes the oldest packet that is under way for lost; false if there is none.
    pub fn lose_oldest(&mut self) -> bool {
        let sent = |slot: &Slot<MTU>| matches!(slot.fate, Fate::Sent { .. });
        let Some(offset) = self.iter().position(sent) else {
            return false;
        };
        self.slot(offset).fate = Fate::Lost;
        true
    }

    /// An acknowledgement is due, or the peer's room is used up.
    pub fn waits(&self) -> bool {
        self.iter()
            .any(|slot| matches!(slot.fate, Fate::Sent { .. }))
            || self.count > 0 && self.count == self.window
    }

    /// Nothing was sent, or everything was released.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Everything flushed was sent at least once.
    pub fn is_sent(&self) -> bool {
        self.iter().all(|slot| slot.fate != Fate::Unsent)
    }

    /// Everything has arrived.
    pub fn has_arrived(&self) -> bool {
        self.iter().all(|slot| slot.fate == Fate::Arrived)
    }

    /// Number of the next packet.
    pub fn next(&self) -> u16 {
        self.base.wrapping_add(self.count as u16)
    }
}
