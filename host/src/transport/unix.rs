//! Unix sockets, for programs on the same machine.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::socket::is_pause;

/// A Unix socket that is listened on; its file is removed with it.
pub struct UnixSocket {
    pub(super) listener: UnixListener,
    pub(super) path: PathBuf,
    /// Tells its file from one that somebody else has put there since.
    file: Option<(u64, u64)>,
}

/// Device and number of a file.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// Connects to a Unix socket; where its backlog is full, tries again until `timeout`.
pub(super) fn dial(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let deadline = Instant::now() + timeout;
    let address = SockAddr::unix(path)?;
    loop {
        // `UnixStream::connect` would wait for ever.
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&address) {
            Ok(()) => {
                socket.set_nonblocking(false)?;
                return Ok(std::os::fd::OwnedFd::from(socket).into());
            }
            Err(error) if is_pause(&error) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error),
        }
    }
}

impl UnixSocket {
    /// Listens. A file that an earlier server left there is replaced; one that somebody listens on
    /// is not.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        let stale = std::fs::metadata(path).is_ok_and(|file| file.file_type().is_socket())
            && dial(path, Duration::ZERO)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        if stale {
            std::fs::remove_file(path)?;
        }
        Ok(Self {
            listener: UnixListener::bind(path)?,
            path: path.into(),
            file: identity(path),
        })
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if self.file.is_some() && self.file == identity(&self.path) {
            // If it is gone since, somebody else has removed it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
