//! Packets: header, checksum and payload, COBS-encoded between zero bytes.
//! The layout is in `docs/protocol.md#serial-lines`.

use cobs::{CobsEncoder, DecodeResult, DecoderState};
use crc::{CRC_32_ISCSI, Crc, Table};

use crate::wire::wire_enum;

/// Castagnoli's CRC-32 finds every pattern of up to five flipped bits in packets of up to 655 bytes.
/// The table is 1 KiB of flash.
static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

/// Bytes before the payload, checksum included.
const HEADER: usize = 15;
/// Bytes of the header that the checksum covers.
const CHECKED: usize = 11;
/// Ends a packet; in front of one, it ends whatever garbage came before.
const DELIMITER: u8 = 0;

/// Payload bytes of a packet that takes at most `mtu` bytes on the line.
pub const fn payload_len(mtu: usize) -> usize {
    let encoded = mtu.saturating_sub(2);
    encoded.saturating_sub(encoded.div_ceil(255) + HEADER)
}

wire_enum! {
    /// Says what a packet is for.
    pub(super) enum Kind {
        /// Client: begins a connection.
        Open = 1,
        /// Server: answers an `Open`.
        Accept = 2,
        /// Either: payload.
        Data = 3,
        /// Either: nothing but its acknowledgement.
        Ack = 4,
        /// Either: asks for an `Ack`.
        Probe = 5,
        /// Either: the sender has sent all, and got all it wanted.
        Close = 6,
        /// Either: there is no such connection here.
        Reset = 7,
    }
}

/// All of a packet but its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub kind: Kind,
    /// The connection.
    pub id: u32,
    /// Number of this packet, if it is `Data`; else of the next.
    pub seq: u16,
    /// All packets before this one were read by the application.
    pub ack: u16,
    /// Bit i: packet `ack + i` has arrived.
    pub arrived: u16,
}

impl Header {
    fn to_bytes(self, payload: &[u8]) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = self.kind as u8;
        bytes[1..5].copy_from_slice(&self.id.to_le_bytes());
        bytes[5..7].copy_from_slice(&self.seq.to_le_bytes());
        bytes[7..9].copy_from_slice(&self.ack.to_le_bytes());
        bytes[9..CHECKED].copy_from_slice(&self.arrived.to_le_bytes());
        let sum = checksum(&bytes[..CHECKED], payload);
        bytes[CHECKED..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The header of a decoded packet, if kind and checksum are right.
    fn new_checked(packet: &[u8]) -> Option<Self> {
        let (checked, rest) = packet.split_first_chunk::<CHECKED>()?;
        let (&sum, payload) = rest.split_first_chunk()?;
        if checksum(checked, payload) != u32::from_le_bytes(sum) {
            return None;
        }
        let &[kind, i0, i1, i2, i3, s0, s1, a0, a1, b0, b1] = checked;
        Some(Self {
            kind: Kind::try_from(kind).ok()?,
            id: u32::from_le_bytes([i0, i1, i2, i3]),
            seq: u16::from_le_bytes([s0, s1]),
            ack: u16::from_le_bytes([a0, a1]),
            arrived: u16::from_le_bytes([b0, b1]),
        })
    }
}

fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(header);
    digest.update(payload);
    digest.finalize()
}

/// Writes a packet; returns its length, or `None` if it is longer than `out`.
pub(super) fn encode(header: Header, payload: &[u8], out: &mut [u8]) -> Option<usize> {
    let (first, rest) = out.split_first_mut()?;
    let mut encoder = CobsEncoder::new(rest);
    encoder.push(&header.to_bytes(payload)).ok()?;
    encoder.push(payload).ok()?;
    let len = encoder.finalize();
    *first = DELIMITER;
    *rest.get_mut(len)? = DELIMITER;
    Some(len + 2)
}

/// Finds packets in what comes over the line. What is no packet, or longer than one, is dropped.
pub(super) struct Decoder<const MTU: usize> {
    state: DecoderState,
    bytes: [u8; MTU],
    len: usize,
}

impl<const MTU: usize> Decoder<MTU> {
    pub fn new() -> Self {
        Self {
            state: DecoderState::Idle,
            bytes: [0; MTU],
            len: 0,
        }
    }

    /// Takes one byte; gives the header of the packet that it completes.
    pub fn feed(&mut self, byte: u8) -> Option<Header> {
        match self.state.feed(byte) {
            Ok(DecodeResult::DataStart) => self.len = 0,
            Ok(DecodeResult::DataContinue(byte)) => {
                // A packet that is too long keeps its first bytes, and its length tells.
                if let Some(place) = self.bytes.get_mut(self.len) {
                    *place = byte;
                }
                self.len = self.len.saturating_add(1);
            }
            Ok(DecodeResult::DataComplete) => {
                return Header::new_checked(self.bytes.get(..self.len)?);
            }
            Ok(DecodeResult::NoData) | Err(_) => {}
        }
        None
    }

    /// The payload of the packet that was completed last.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(HEADER..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const MTU: usize = 300;

    fn header(kind: Kind) -> Header {
        Header {
            kind,
            id: 0xc0de_0100,
            seq: 7,
            ack: 0,
            arrived: 0xff00,
        }
    }

    fn decode(bytes: &[u8]) -> Vec<(Header, Vec<u8>)> {
        let mut decoder = Decoder::<MTU>::new();
        let packet = |&byte| Some((decoder.feed(byte)?, decoder.payload().to_vec()));
        bytes.iter().filter_map(packet).collect()
    }

    #[test]
    fn the_longest_packet_fits_its_mtu() {
        for mtu in 32..1400 {
            for byte in [0, 1] {
                let mut out = std::vec![0; mtu];
                let payload = std::vec![byte; payload_len(mtu)];
                assert!(encode(header(Kind::Data), &payload, &mut out).is_some());
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let mut out = [0; MTU];
        let payload: Vec<u8> = (0..200u8).map(|i| i.wrapping_mul(3)).collect();
        let len = encode(header(Kind::Data), &payload, &mut out).unwrap();
        assert_eq!(decode(&out[..len]).len(), 1);
        for bit in 0..8 * len {
            let mut bad = out;
            bad[bit / 8] ^= 1 << (bit % 8);
            // Its delimiters are no part of a packet.
            if (8..8 * (len - 1)).contains(&bit) {
                assert!(decode(&bad[..len]).is_empty(), "bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_packet_survives_garbage_around_it(
            garbage: Vec<u8>,
            payload in prop::collection::vec(any::<u8>(), 0..=payload_len(MTU)),
        ) {
            let mut out = [0; MTU];
            let len = encode(header(Kind::Data), &payload, &mut out).unwrap();
            let all = [&garbage, &out[..len], &garbage, &out[..len]].concat();
            let expected = (header(Kind::Data), payload);
            prop_assert_eq!(decode(&all), [expected.clone(), expected]);
        }

        #[test]
        fn no_bytes_are_a_panic(bytes: Vec<u8>) {
            decode(&bytes);
            Header::new_checked(&bytes);
        }
    }
}
