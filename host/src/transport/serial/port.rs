//! What carries the bytes of a serial line: a port of this machine, or a Unix socket that stands for
//! one, as emulators have them.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

#[cfg(unix)]
use super::super::unix::{UnixSocket, dial};

/// How long a read or a write may take before its thread looks around.
pub(super) const GLANCE: Duration = Duration::from_millis(100);

pub(super) type Reader = Box<dyn Read + Send>;
pub(super) type Writer = Box<dyn Write + Send>;

/// Where the line is.
pub(super) enum Port {
    /// A serial port, with its bits a second.
    Device(String, u32),
    /// A Unix socket to connect to.
    #[cfg(unix)]
    Dial(std::path::PathBuf),
    /// A Unix socket that the line connects to.
    #[cfg(unix)]
    Answer(UnixSocket),
}

impl Port {
    /// The port called `name`, at `baud` bits a second; or `unix:PATH`, a socket that is connected
    /// to, or listened on if `answer`.
    pub fn new(name: &str, baud: u32, answer: bool) -> io::Result<Self> {
        #[cfg(unix)]
        if let Some(path) = name.strip_prefix("unix:") {
            return if answer {
                let socket = UnixSocket::bind(path.as_ref())?;
                socket.listener.set_nonblocking(true)?;
                Ok(Self::Answer(socket))
            } else {
                Ok(Self::Dial(path.into()))
            };
        }
        let _ = answer;
        Ok(Self::Device(name.into(), baud))
    }

    /// Opens the line. `None`: it is a socket, and nobody has connected yet.
    pub fn open(&self) -> io::Result<Option<(Reader, Writer)>> {
        match self {
            Self::Device(name, baud) => {
                let port = serialport::new(name, *baud).timeout(GLANCE).open()?;
                let reader = port.try_clone()?;
                Ok(Some((Box::new(reader), Box::new(port))))
            }
            #[cfg(unix)]
            Self::Dial(path) => halves(dial(path, GLANCE)?).map(Some),
            #[cfg(unix)]
            Self::Answer(socket) => match socket.listener.accept() {
                Ok((stream, _)) => halves(stream).map(Some),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
                Err(error) => Err(error),
            },
        }
    }
}

#[cfg(unix)]
fn halves(stream: std::os::unix::net::UnixStream) -> io::Result<(Reader, Writer)> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(GLANCE))?;
    stream.set_write_timeout(Some(GLANCE))?;
    Ok((Box::new(stream.try_clone()?), Box::new(stream)))
}
