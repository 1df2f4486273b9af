//! What sessions run on: TCP, Unix sockets for programs on the same machine, and serial lines.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::serial::{self, Serial};

/// A connected stream socket.
pub trait Socket: Read + Write + Send {
    /// Another handle to the same connection.
    fn duplicate(&self) -> io::Result<Box<dyn Socket>>;
    /// Makes reads and writes block, for no longer than this.
    fn limit(&self, read: Duration, write: Duration) -> io::Result<()>;
    /// Tells the peer that nothing more will come.
    fn end(&self) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn duplicate(&self) -> io::Result<Box<dyn Socket>> {
        Ok(Box::new(self.try_clone()?))
    }
    fn limit(&self, read: Duration, write: Duration) -> io::Result<()> {
        self.set_nodelay(true)?;
        self.set_nonblocking(false)?;
        self.set_read_timeout(Some(read))?;
        self.set_write_timeout(Some(write))
    }
    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

#[cfg(unix)]
impl Socket for UnixStream {
    fn duplicate(&self) -> io::Result<Box<dyn Socket>> {
        Ok(Box::new(self.try_clone()?))
    }
    fn limit(&self, read: Duration, write: Duration) -> io::Result<()> {
        self.set_nonblocking(false)?;
        self.set_read_timeout(Some(read))?;
        self.set_write_timeout(Some(write))
    }
    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// Who is at the other end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Peer {
    /// A TCP client.
    Tcp(SocketAddr),
    /// A client of this Unix socket.
    Unix(PathBuf),
    /// The device on this serial line.
    Serial(String),
}

impl Peer {
    /// What clients are told apart by: their address, or the socket or line that they came through.
    pub fn name(&self) -> PeerName {
        match self {
            Self::Tcp(address) => PeerName::Address(address.ip()),
            Self::Unix(path) => PeerName::Socket(path.clone()),
            Self::Serial(name) => PeerName::Line(name.clone()),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Serial(name) => write!(f, "serial:{name}"),
        }
    }
}

/// A client, as far as it can be told from others.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum PeerName {
    /// All clients at one address.
    Address(IpAddr),
    /// All clients of one Unix socket.
    Socket(PathBuf),
    /// Whatever is on one serial line.
    Line(String),
}

/// A Unix socket that is listened on; its file is removed with it.
#[cfg(unix)]
pub struct UnixSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Tells its file from one that somebody else has put there since.
    file: Option<(u64, u64)>,
}

/// Device and number of a file.
#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let file = std::fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// Connects to a Unix socket; where its backlog is full, tries again until `timeout`.
#[cfg(unix)]
pub(super) fn dial(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    use socket2::{Domain, SockAddr, Type};
    let deadline = std::time::Instant::now() + timeout;
    let address = SockAddr::unix(path)?;
    loop {
        // `UnixStream::connect` would wait for ever.
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&address) {
            Ok(()) => {
                socket.set_nonblocking(false)?;
                return Ok(std::os::fd::OwnedFd::from(socket).into());
            }
            Err(error) if is_pause(&error) && std::time::Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(unix)]
impl UnixSocket {
    /// Listens. A file that an earlier server left there is replaced; one that somebody listens on
    /// is not.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::FileTypeExt;
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

#[cfg(unix)]
impl Drop for UnixSocket {
    fn drop(&mut self) {
        if self.file.is_some() && self.file == identity(&self.path) {
            // If it is gone since, somebody else has removed it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Where clients come from.
pub enum Listener {
    /// A TCP port.
    Tcp(TcpListener),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(UnixSocket),
    /// A serial line, with one client at a time.
    Serial(Serial),
}

impl Listener {
    /// Listens on an address and port.
    pub fn tcp(address: &str) -> io::Result<Self> {
        Ok(Self::Tcp(TcpListener::bind(address)?))
    }

    /// Listens on a Unix socket. A file that an earlier server left there is replaced; one that
    /// somebody listens on is not.
    #[cfg(unix)]
    pub fn unix(path: &Path) -> io::Result<Self> {
        Ok(Self::Unix(UnixSocket::bind(path)?))
    }

    /// Waits for a device on a serial line: see [`Serial::listen`].
    pub fn serial(name: &str, baud: u32) -> io::Result<Self> {
        Ok(Self::Serial(Serial::listen(name, baud)?))
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<Peer> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Peer::Tcp),
            #[cfg(unix)]
            Self::Unix(socket) => Ok(Peer::Unix(socket.path.clone())),
            Self::Serial(line) => Ok(Peer::Serial(line.name().into())),
        }
    }

    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listener.set_nonblocking(true),
            #[cfg(unix)]
            Self::Unix(socket) => socket.listener.set_nonblocking(true),
            Self::Serial(_) => Ok(()),
        }
    }

    pub(super) fn accept(&self) -> io::Result<(Box<dyn Socket>, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                Ok((Box::new(stream), Peer::Tcp(peer)))
            }
            #[cfg(unix)]
            Self::Unix(socket) => {
                let (stream, _) = socket.listener.accept()?;
                Ok((Box::new(stream), Peer::Unix(socket.path.clone())))
            }
            Self::Serial(line) => Ok((line.accept()?, Peer::Serial(line.name().into()))),
        }
    }
}

/// Connects to `HOST:PORT`, to `unix:PATH`, or over the line `serial:NAME`.
pub(super) fn connect(address: &str, baud: u32, timeout: Duration) -> io::Result<Box<dyn Socket>> {
    use std::net::ToSocketAddrs;
    if let Some(name) = address.strip_prefix("serial:") {
        return serial::connect(name, baud, timeout);
    }
    #[cfg(unix)]
    if let Some(path) = address.strip_prefix("unix:") {
        return Ok(Box::new(dial(Path::new(path), timeout)?));
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(Box::new(stream)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// An error that says only that nothing has happened yet.
pub(super) fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), TimedOut | WouldBlock | Interrupted)
}
