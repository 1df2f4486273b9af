//! The driver over `embedded-io-async`, step by step as [`super::drive`].

use embedded_io_async::{Read, Write};

use super::{DriveError, Observer, Party, begin_frame, ended, gather, one_frame};
use crate::protocol::frame::{Frame, FrameBuf, HEADER, Kind};

/// As [`drive`](super::drive()), over an asynchronous stream. It waits for the stream alone: what
/// the party computes for a frame blocks the executor that long.
///
/// Whoever drops the future before it is done, after a time limit for example, closes the party:
/// part of a frame may have gone over the line.
pub async fn drive_async<P: Party + ?Sized, IO: Read + Write + ?Sized>(
    party: &mut P,
    io: &mut IO,
    buffer: &mut [u8],
    observer: &mut impl Observer<P, IO>,
) -> Result<(), DriveError<IO::Error>> {
    let mut result = exchange(party, io, buffer, observer).await;
    if result.is_err() {
        // Its secrets do not wait for the peer's last word.
        party.close();
    }
    if matches!(&result, Err(error) if error.hung_up()) {
        observer.waits(party, io);
        if let Ok(frame) = read_frame_async(io, one_frame(buffer)?).await
            && frame.kind == Kind::Fail
        {
            observer.received(frame);
            result = Err(frame.unexpected().into());
        }
    }
    if let Err(error) = &result
        && let Some(len) = error.last_frame(buffer)
        // This error counts, whether or not the peer hears of it.
        && write(io, &buffer[..len]).await.is_ok()
    {
        let _ = io.flush().await;
    }
    result
}

async fn exchange<P: Party + ?Sized, IO: Read + Write + ?Sized>(
    party: &mut P,
    io: &mut IO,
    buffer: &mut [u8],
    observer: &mut impl Observer<P, IO>,
) -> Result<(), DriveError<IO::Error>> {
    loop {
        let (len, over) = gather(party, buffer, observer)?;
        write(io, &buffer[..len]).await?;
        if !over {
            continue;
        }
        io.flush().await.map_err(DriveError::Io)?;
        if party.rests() {
            return Ok(());
        }
        observer.waits(party, io);
        let frame = read_frame_async(io, one_frame(buffer)?).await?;
        observer.received(frame);
        party.handle(frame)?;
    }
}

async fn write<W: Write + ?Sized>(
    io: &mut W,
    mut bytes: &[u8],
) -> Result<(), DriveError<W::Error>> {
    while !bytes.is_empty() {
        match io.write(bytes).await.map_err(DriveError::Io)? {
            0 => return Err(DriveError::Closed),
            count => bytes = bytes.get(count..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// Reads one frame, for a loop of one's own.
pub async fn read_frame_async<'a, R: Read + ?Sized>(
    io: &mut R,
    buffer: &'a mut FrameBuf,
) -> Result<Frame<'a>, DriveError<R::Error>> {
    let mut header = [0; HEADER];
    io.read_exact(&mut header).await.map_err(ended)?;
    let bytes = begin_frame(header, buffer)?;
    io.read_exact(&mut bytes[HEADER..]).await.map_err(ended)?;
    Ok(Frame::new_checked(bytes)?)
}
