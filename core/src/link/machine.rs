//! One end of a link: connections, and what to send next. Does no input or output, never blocks.

use super::greeting::{Greeting, Limits};
use super::inbox::Inbox;
use super::outbox::Outbox;
use super::packet::{Decoder, Header, Kind, encode, payload_len};
use super::timer::{Expired, Timer, Timing};

/// Why a connection ended before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LinkError {
    /// No sign of life within the time-out.
    Dead,
    /// The peer knows nothing of this connection (any more).
    Reset,
    /// The peer has opened another connection; [`Link::listen`] takes it.
    Reopened,
    /// The peer does not speak this version of the link.
    Refused,
}

impl core::fmt::Display for LinkError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Dead => "the line is dead: the peer did not answer within the time-out",
            Self::Reset => "the peer has lost this connection",
            Self::Reopened => "the peer has started anew",
            Self::Refused => "the peer speaks another version of the link",
        })
    }
}

impl core::error::Error for LinkError {}

/// What a link is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Nothing, or the connection was closed in order.
    Closed,
    /// Waits for a connection.
    Listening,
    /// Has asked for a connection.
    Opening,
    /// Has one.
    Open,
    /// Had one.
    Failed(LinkError),
}

/// A connection that a client has asked for.
#[derive(Clone, Copy)]
struct Offer {
    id: u32,
    limits: Limits,
    /// The client has got our answer.
    confirmed: bool,
}

/// One end of a link. `MTU`: bytes of the longest packet on the line, 32 to 65535; `WINDOW`: packets
/// under way at once, 1 to 16. The two ends agree on the smaller of each. All memory is in the value,
/// about `2 * MTU * WINDOW + MTU` bytes.
///
/// The caller hands over what comes with [`Link::receive`], writes what [`Link::poll_transmit`]
/// gives, and asks again after every other call and when [`Link::next_deadline`] has passed; [`LinkIo`](super::LinkIo) does.
pub struct Link<const MTU: usize, const WINDOW: usize> {
    decoder: Decoder<MTU>,
    inbox: Inbox<MTU, WINDOW>,
    outbox: Outbox<MTU, WINDOW>,
    timer: Timer,
    state: State,
    /// Of the present connection, or the last.
    id: u32,
    /// The peer has sent something in this connection that was no `Accept`.
    confirmed: bool,
    offer: Option<Offer>,
    /// This side takes connections.
    listens: bool,
    /// Up to where the peer knows that we have read.
    released: u16,
    due: Due,
}

/// Packets that should go out.
#[derive(Clone, Copy, Default)]
struct Due {
    open: bool,
    ack: bool,
    probe: bool,
    /// An answer without payload, and its connection.
    reply: Option<(Kind, u32)>,
}

impl<const MTU: usize, const WINDOW: usize> Link<MTU, WINDOW> {
    const LIMITS: Limits = {
        assert!(MTU >= 32 && MTU <= 65535, "MTU");
        assert!(WINDOW >= 1 && WINDOW <= 16, "WINDOW");
        Limits {
            mtu: MTU as u16,
            window: WINDOW as u8,
        }
    };

    /// A closed link.
    pub fn new(timing: Timing) -> Self {
        Self {
            decoder: Decoder::new(),
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            timer: Timer::new(timing),
            state: State::Closed,
            id: 0,
            confirmed: false,
            offer: None,
            listens: false,
            released: 0,
            due: Due::default(),
        }
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        self.state
    }

    /// It has a connection or is about to.
    pub fn is_active(&self) -> bool {
        matches!(self.state, State::Open | State::Opening)
    }

    /// A client has opened another connection, which [`Link::listen`] takes.
    pub fn is_called(&self) -> bool {
        self.offer.is_some_and(|offer| offer.confirmed)
    }

    /// The connection's name, for logs.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Client: forgets what was and asks for a connection. `id` must be random: it tells this
    /// connection's packets from all earlier ones'.
    pub fn open(&mut self, now: u64, id: u32) {
        self.begin(id, Self::LIMITS, State::Opening);
        self.timer.reset(now);
        self.listens = false;
        self.offer = None;
        self.due.open = true;
    }

    /// Server: forgets what was and takes the next connection, or the one that the client has
    /// opened in the meantime.
    pub fn listen(&mut self, now: u64) {
        self.listens = true;
        self.begin(self.id, Self::LIMITS, State::Listening);
        if let Some(offer) = self.offer.take_if(|offer| offer.confirmed) {
            self.accept(now, offer);
        }
    }

    /// Forgets the connection, and tells nobody.
    pub fn reset(&mut self) {
        self.begin(self.id, Self::LIMITS, State::Closed);
        self.listens = false;
        self.offer = None;
    }

    /// Ends the connection. Call it when [`Link::has_arrived`]: what has not arrived is lost.
    pub fn close(&mut self) {
        if self.state == State::Open {
            self.state = State::Closed;
            self.due.reply = Some((Kind::Close, self.id));
        }
    }

    /// Takes bytes to send, as many as there is room for.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        match self.state {
            State::Open => self.outbox.send(bytes),
            _ => 0,
        }
    }

    /// Lets the last bytes go out although they fill no packet.
    pub fn flush(&mut self) {
        self.outbox.flush();
    }

    /// Everything sent and flushed was given out by [`Link::poll_transmit`] at least once.
    pub fn is_sent(&self) -> bool {
        self.outbox.is_sent()
    }

    /// The peer has everything.
    pub fn has_arrived(&self) -> bool {
        self.outbox.has_arrived()
    }

    /// Gives bytes that the peer has sent, in order. They stay readable after the end of the connection.
    pub fn recv(&mut self, out: &mut [u8]) -> usize {
        let count = self.inbox.recv(out);
        let news = self.inbox.base().wrapping_sub(self.released);
        // Smaller news go with the next packet. The peer's window may be smaller than ours.
        self.due.ack |= usize::from(news) >= self.outbox.window().div_ceil(2).max(1);
        count
    }

    /// Takes bytes from the line.
    pub fn receive(&mut self, now: u64, bytes: &[u8]) {
        for &byte in bytes {
            if let Some(header) = self.decoder.feed(byte) {
                self.handle(now, header);
            }
        }
    }

    fn begin(&mut self, id: u32, peer: Limits, state: State) {
        let mtu = MTU.min(peer.mtu.into());
        self.outbox.clear(payload_len(mtu), peer.window.into());
        self.inbox.clear();
        self.state = state;
        self.id = id;
        self.confirmed = false;
        self.released = 0;
        self.due = Due {
            reply: self.due.reply,
            ..Due::default()
        };
    }

    fn accept(&mut self, now: u64, offer: Offer) {
        self.begin(offer.id, offer.limits, State::Open);
        self.timer.reset(now);
    }

    fn fail(&mut self, error: LinkError) {
        self.state = State::Failed(error);
    }

    fn handle(&mut self, now: u64, header: Header) {
        let ours = header.id == self.id;
        match (header.kind, self.state) {
            (Kind::Open, _) if self.listens => self.on_open(header.id),
            (Kind::Accept, State::Opening) if ours => {
                match Greeting::parse(self.decoder.payload()) {
                    Greeting::Ours(limits) => {
                        // After a `Reset`, what was sent before still is.
                        if self.outbox.is_empty() {
                            self.begin(header.id, limits, State::Open);
                        }
                        self.state = State::Open;
                        self.timer.reset(now);
                        self.due.ack = true;
                    }
                    Greeting::OtherVersion => self.fail(LinkError::Refused),
                    Greeting::Malformed => {}
                }
            }
            // Our confirmation got lost.
            (Kind::Accept, State::Open) if ours => self.due.ack = true,
            (Kind::Open | Kind::Accept, _) => {}
            (Kind::Reset, State::Opening) if ours => self.fail(LinkError::Refused),
            // A packet of an earlier connection has made the server forget our `Open`.
            (Kind::Reset, State::Open) if ours && !self.confirmed && !self.listens => {
                self.state = State::Opening;
                self.due.open = true;
            }
            (Kind::Reset, State::Open) if ours => self.fail(LinkError::Reset),
            (Kind::Close, State::Open) if ours => {
                if self.inbox.missing() == header.seq {
                    self.state = State::Closed;
                } else {
                    self.fail(LinkError::Reset);
                }
            }
            (Kind::Reset | Kind::Close, _) => {}
            (Kind::Data | Kind::Ack | Kind::Probe, _) => self.on_stream(now, header),
        }
    }

    fn on_open(&mut self, id: u32) {
        if self.state == State::Open && id == self.id {
            // A duplicate, or our answer got lost.
            self.due.reply = Some((Kind::Accept, id));
            return;
        }
        match Greeting::parse(self.decoder.payload()) {
            Greeting::Ours(limits) => {
                let confirmed = self.offer.is_some_and(|o| o.id == id && o.confirmed);
                self.offer = Some(Offer {
                    id,
                    limits,
                    confirmed,
                });
                self.due.reply = Some((Kind::Accept, id));
            }
            Greeting::OtherVersion => self.due.reply = Some((Kind::Reset, id)),
            Greeting::Malformed => {}
        }
    }

    /// A packet of some connection that its sender believes to be open.
    fn on_stream(&mut self, now: u64, header: Header) {
        if let Some(offer) = self.offer.as_mut().filter(|offer| offer.id == header.id) {
            offer.confirmed = true;
            match self.state {
                State::Listening => {
                    let offer = *offer;
                    self.offer = None;
                    self.accept(now, offer);
                }
                State::Open => return self.fail(LinkError::Reopened),
                _ => return,
            }
        }
        if header.id != self.id || self.state != State::Open {
            let closed = header.id == self.id && self.state == State::Closed;
            let kind = if closed { Kind::Close } else { Kind::Reset };
            self.due.reply = Some((kind, header.id));
            return;
        }
        self.confirmed = true;
        self.timer.heard();
        if !self.outbox.waits() {
            self.timer.restart(now);
        }
        let news = self.outbox.acknowledge(now, header.ack, header.arrived);
        if let Some(rtt) = news.rtt {
            self.timer.measured(rtt);
        }
        if news.progress {
            self.timer.progress(now);
        }
        match header.kind {
            Kind::Data => {
                self.inbox.store(header.seq, self.decoder.payload());
                self.due.ack = true;
            }
            Kind::Probe => self.due.ack = true,
            _ => {}
        }
    }

    /// The latest time at which [`Link::poll_transmit`] should be called again.
    pub fn next_deadline(&self) -> Option<u64> {
        match self.state {
            State::Opening => Some(self.timer.deadline(true)),
            State::Open => Some(self.timer.deadline(self.outbox.waits())),
            _ => None,
        }
    }

    /// Looks at the clock, as [`Link::poll_transmit`] does.
    pub(super) fn expire(&mut self, now: u64) {
        let waits = match self.state {
            State::Opening => true,
            State::Open => self.outbox.waits(),
            _ => return,
        };
        match self.timer.expire(now, waits) {
            Some(Expired::Dead) => self.fail(LinkError::Dead),
            Some(Expired::Retry) if self.state == State::Opening => self.due.open = true,
            Some(Expired::Retry) => self.due.probe = !self.outbox.lose_oldest(),
            None => {}
        }
    }

    /// Writes the next packet that should go out now, and says how long it is. Hand over what the
    /// line has received before: it may hold the acknowledgements that make a packet unnecessary.
    pub fn poll_transmit(&mut self, now: u64, out: &mut [u8; MTU]) -> Option<usize> {
        self.expire(now);
        let mut header = Header {
            kind: Kind::Ack,
            id: self.id,
            seq: self.outbox.next(),
            ack: self.inbox.base(),
            arrived: self.inbox.arrived(),
        };
        if let Some((kind, id)) = self.due.reply.take() {
            (header.kind, header.id) = (kind, id);
            let limits = Self::LIMITS.to_bytes();
            let greets = kind == Kind::Accept;
            return encode(header, if greets { &limits } else { &[] }, out);
        }
        match self.state {
            State::Opening if core::mem::take(&mut self.due.open) => {
                header.kind = Kind::Open;
                return encode(header, &Self::LIMITS.to_bytes(), out);
            }
            State::Open => {}
            _ => return None,
        }
        let waited = self.outbox.waits();
        let payload = if let Some((seq, payload)) = self.outbox.transmit(now) {
            (header.kind, header.seq) = (Kind::Data, seq);
            if !waited {
                self.timer.restart(now);
            }
            payload
        } else if self.due.probe {
            self.due.probe = false;
            header.kind = Kind::Probe;
            &[]
        } else if self.due.ack {
            &[]
        } else {
            return None;
        };
        self.due.ack = false;
        self.released = header.ack;
        encode(header, payload, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const MTU: usize = 64;

    /// Packets with right checksums and any content.
    fn packet() -> impl Strategy<Value = (Header, Vec<u8>)> {
        let kinds = [
            Kind::Open,
            Kind::Accept,
            Kind::Data,
            Kind::Ack,
            Kind::Probe,
            Kind::Close,
            Kind::Reset,
        ];
        let number = || prop_oneof![0..6u16, any::<u16>()];
        let payload = prop_oneof![
            Just(Link::<MTU, 3>::LIMITS.to_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..payload_len(MTU)),
        ];
        let header = (0..kinds.len(), 0..3u32, number(), number(), any::<u16>());
        (header, payload).prop_map(move |((kind, id, seq, ack, arrived), payload)| {
            let kind = kinds[kind];
            let header = Header {
                kind,
                id,
                seq,
                ack,
                arrived,
            };
            (header, payload)
        })
    }

    proptest! {
        /// A peer that breaks every rule makes no panic, and no packet longer than the line takes.
        #[test]
        fn any_peer_is_survived(
            steps in prop::collection::vec((0..12u8, packet(), 0..3000u64), 1..200),
        ) {
            let mut link = Link::<MTU, 3>::new(Timing::default());
            let mut now = 0;
            let mut out = [0; MTU];
            for (step, (header, payload), number) in steps {
                match step {
                    0 => link.open(now, header.id),
                    1 => link.listen(now),
                    2 => link.close(),
                    3 => link.flush(),
                    4 => prop_assert!(link.send(&[7; 200]) <= 200),
                    5 => prop_assert!(link.recv(&mut [0; 50]) <= 50),
                    6 => link.receive(now, &payload),
                    7 => now += number,
                    _ => {
                        let len = encode(header, &payload, &mut out).unwrap();
                        link.receive(now, &out[..len]);
                    }
                }
                // What is due now is bounded: the window, and one packet of each other kind.
                let due = (0..10).find(|_| link.poll_transmit(now, &mut out).is_none());
                prop_assert!(due.is_some());
                prop_assert!(link.next_deadline().is_none_or(|deadline| deadline > now));
            }
        }
    }
}
