//! Frames made by hand.

use stria_core::PeerError;
use stria_core::protocol::frame::{Kind, MAX_FRAME, write_reason};
use stria_core::protocol::greeting::write_control;

/// A frame of any payload that fits the length field.
pub fn frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
    raw_frame(kind as u8, payload)
}

/// As [`frame`], of any kind.
pub fn raw_frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_le_bytes();
    [&[kind][..], &length, payload].concat()
}

/// The frame of a peer that gives up.
pub fn failure(reason: PeerError) -> Vec<u8> {
    let mut buffer = [0; MAX_FRAME];
    let len = write_reason(&mut buffer, reason);
    buffer[..len].to_vec()
}

/// A control message as a frame.
pub fn control<M: serde::Serialize>(kind: Kind, message: &M) -> Vec<u8> {
    let mut buffer = [0; MAX_FRAME];
    let len = write_control(&mut buffer, kind, message).unwrap();
    buffer[..len].to_vec()
}
