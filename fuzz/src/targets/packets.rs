//! The link of serial lines: arbitrary bytes, right packets of any content, and any times.

use cobs::CobsEncoder;
use crc::{CRC_32_ISCSI, Crc};

use crate::input::Input;
use crate::prelude::*;

const MTU: usize = 64;
const WINDOW: usize = 4;

type End = Link<MTU, WINDOW>;

/// Two ends, whose packets reach each other or not, and a stranger on the line. Neither end panics,
/// sends for ever, or wants to be asked in the past.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut ends = [End::new(Timing::default()), End::new(Timing::default())];
    let mut now = 0;
    ends[0].open(now, 0);
    ends[1].listen(now);
    while !input.is_empty() {
        let step = input.byte();
        let (end, other) = match &mut ends {
            [client, server] if step & 0x80 == 0 => (client, server),
            [client, server] => (server, client),
        };
        match step % 16 {
            0 => end.open(now, (input.byte() % 4).into()),
            1 => end.listen(now),
            2 => end.close(),
            3 => end.reset(),
            4 => {
                let bytes = input.piece();
                assert!(end.send(bytes) <= bytes.len());
            }
            5 => end.flush(),
            6 => {
                let mut out = [0; 200];
                let room = usize::from(input.byte()).min(out.len());
                assert!(end.recv(&mut out[..room]) <= room);
            }
            7 => now += u64::from(input.word()),
            8 => end.receive(now, input.piece()),
            9..=11 => end.receive(now, &packet(&mut input)),
            // What is due goes to the other end, or is lost.
            _ => {
                let (lost, mut out) = (input.byte(), [0; MTU]);
                let mut count = 0;
                while let Some(length) = end.poll_transmit(now, &mut out) {
                    if lost >> (count % 8) & 1 == 0 {
                        other.receive(now, &out[..length]);
                    }
                    count += 1;
                    assert!(count <= WINDOW + 4, "it sends for ever");
                }
                assert!(end.next_deadline().is_none_or(|deadline| deadline > now));
            }
        }
        for end in &mut ends {
            let _ = (
                end.state(),
                end.is_called(),
                end.is_sent(),
                end.has_arrived(),
            );
        }
    }
}

/// A packet with the right checksum: kind, connection, numbers and payload are the input's.
fn packet(input: &mut Input<'_>) -> Vec<u8> {
    let mut packet = vec![input.byte() % 9];
    packet.extend(u32::from(input.byte() % 4).to_le_bytes());
    for _ in 0..3 {
        packet.extend(input.word().to_le_bytes());
    }
    let length = usize::from(input.byte()) % (payload_len(MTU) + 2);
    let payload = input.take(length);
    let crc = Crc::<u32>::new(&CRC_32_ISCSI);
    let mut digest = crc.digest();
    digest.update(&packet);
    digest.update(payload);
    packet.extend(digest.finalize().to_le_bytes());
    packet.extend(payload);
    let mut line = vec![0; packet.len() + 4];
    let mut encoder = CobsEncoder::new(&mut line[1..]);
    encoder.push(&packet).expect("there is room");
    let length = encoder.finalize();
    line.truncate(length + 2);
    line[length + 1] = 0;
    line
}
