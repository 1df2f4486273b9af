//! A connected stream socket, whatever carries it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A connected stream socket.
pub trait Socket: Read + Write + Send {
    /// Another handle to the same connection.
    fn duplicate(&self) -> io::Result<Box<dyn Socket>>;
    /// Makes reads and writes block, for no longer than this.
    fn limit(&self, read: Duration, write: Duration) -> io::Result<()>;
    /// Tells the peer that nothing more will come.
    fn end(&self) -> io::Result<()>;
}

macro_rules! socket {
    ($stream:ty, $prepare:expr) => {
        impl Socket for $stream {
            fn duplicate(&self) -> io::Result<Box<dyn Socket>> {
                Ok(Box::new(self.try_clone()?))
            }
            fn limit(&self, read: Duration, write: Duration) -> io::Result<()> {
                $prepare(self)?;
                self.set_nonblocking(false)?;
                self.set_read_timeout(Some(read))?;
                self.set_write_timeout(Some(write))
            }
            fn end(&self) -> io::Result<()> {
                self.shutdown(Shutdown::Write)
            }
        }
    };
}

socket!(TcpStream, |stream: &TcpStream| stream.set_nodelay(true));
#[cfg(unix)]
socket!(UnixStream, |_| io::Result::Ok(()));

/// An error that says only that nothing has happened yet.
pub(super) fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), TimedOut | WouldBlock | Interrupted)
}
