//! The two threads of a line: one takes what comes, one sends what is due.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::PoisonError;
use std::time::Duration;

use super::super::socket::is_pause;
use super::port::{Port, Reader, Writer};
use super::shared::{MTU, Shared};

/// How long to wait before a port that went away is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// Takes what comes, until the line is given up; opens the port again where it went away.
pub(super) fn receive(
    shared: &Shared,
    port: &Port,
    mut halves: Option<(Reader, Writer)>,
    name: &str,
) {
    let mut told = false;
    loop {
        if let Some((reader, writer)) = halves.take() {
            if std::mem::take(&mut told) {
                tracing::info!(line = name, "the line is back");
            }
            let mut end = shared.lock();
            (end.writer, end.lost, end.released) = (Some(writer), false, false);
            drop(end);
            shared.changed.notify_all();
            receive_from(shared, reader);
            let mut end = shared.lock();
            (end.writer, end.lost) = (None, true);
            drop(end);
            shared.changed.notify_all();
        }
        let end = shared.lock();
        if end.stopped {
            return;
        }
        let waited = shared.changed.wait_timeout(end, RETRY);
        let end = waited.unwrap_or_else(PoisonError::into_inner).0;
        if end.stopped {
            return;
        }
        if !end.released {
            continue;
        }
        drop(end);
        match port.open() {
            Ok(opened) => halves = opened,
            Err(error) if !told => {
                tracing::warn!(line = name, %error, "the line is gone");
                told = true;
            }
            Err(_) => {}
        }
    }
}

/// Takes what comes, until the port fails or the line is given up.
fn receive_from(shared: &Shared, mut reader: Reader) {
    let mut buffer = [0; 4096];
    loop {
        let count = match reader.read(&mut buffer) {
            Err(error) if is_pause(&error) => 0,
            Ok(count @ 1..) => count,
            // Unplugged, or the emulator has ended.
            Ok(0) | Err(_) => return,
        };
        let mut end = shared.lock();
        if end.stopped || end.lost {
            return;
        }
        if count > 0 {
            end.link.receive(shared.now(), &buffer[..count]);
            shared.changed.notify_all();
        }
    }
}

/// Sends what is due, until the line is given up.
pub(super) fn send(shared: &Shared) {
    let mut packet = [0; MTU];
    let mut port = None;
    let mut end = shared.lock();
    loop {
        if end.lost {
            port = None;
            end.released = true;
        } else {
            port = end.writer.take().or(port);
        }
        let now = shared.now();
        let before = end.link.state();
        let due = end.link.poll_transmit(now, &mut packet);
        if end.link.state() != before {
            // The peer is dead: somebody may wait for it.
            shared.changed.notify_all();
        }
        let Some(len) = due else {
            if end.stopped {
                return;
            }
            let until = end.link.next_deadline();
            let limit = until.map_or(RETRY, |until| {
                Duration::from_millis(until.saturating_sub(now)).min(RETRY)
            });
            let waited = shared.changed.wait_timeout(end, limit);
            end = waited.unwrap_or_else(PoisonError::into_inner).0;
            continue;
        };
        drop(end);
        // What cannot be written is lost, as on any bad line; the link sends it again.
        let failed = port
            .as_mut()
            .is_some_and(|port| write_all(shared, port, &packet[..len]).is_err());
        end = shared.lock();
        end.lost |= failed;
    }
}

fn write_all(shared: &Shared, port: &mut Writer, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match port.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if is_pause(&error) => {
                let end = shared.lock();
                if end.stopped || end.lost {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
