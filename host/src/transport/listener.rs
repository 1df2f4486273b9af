//! Where clients come from and where servers are: TCP, Unix sockets and serial lines.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::serial::{self, Serial};
use super::socket::Socket;
#[cfg(unix)]
use super::unix::{UnixSocket, dial};

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

    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listener.set_nonblocking(true),
            #[cfg(unix)]
            Self::Unix(socket) => socket.listener.set_nonblocking(true),
            Self::Serial(_) => Ok(()),
        }
    }

    pub(crate) fn accept(&self) -> io::Result<(Box<dyn Socket>, Peer)> {
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
pub(crate) fn connect(address: &str, baud: u32, timeout: Duration) -> io::Result<Box<dyn Socket>> {
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
