//! Greeting: what both ends tell of themselves when a connection opens.
//! `docs/protocol.md#serial-lines`, `Open` and `Accept`.

use super::packet::payload_len;

/// Version of the packets.
const VERSION: u8 = 1;

/// What a side can take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes of the longest packet on the line.
    pub mtu: u16,
    /// Packets that it has room for.
    pub window: u8,
}

impl Limits {
    const LEN: usize = 4;

    /// What an `Open` or `Accept` carries.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let [low, high] = self.mtu.to_le_bytes();
        [VERSION, low, high, self.window]
    }
}

/// What came in an `Open` or `Accept`.
pub(super) enum Greeting {
    Ours(Limits),
    OtherVersion,
    Malformed,
}

impl Greeting {
    pub fn parse(payload: &[u8]) -> Self {
        match *payload {
            [VERSION, low, high, window] => {
                let mtu = u16::from_le_bytes([low, high]);
                if window == 0 || payload_len(mtu.into()) == 0 {
                    return Self::Malformed;
                }
                Self::Ours(Limits { mtu, window })
            }
            [VERSION, ..] | [] => Self::Malformed,
            _ => Self::OtherVersion,
        }
    }
}
