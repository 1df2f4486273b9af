//! A client's tickets, in a folder of its own. `core/docs/design.md#tickets`.
//!
//! Whoever has a ticket's file and the server's half of it can open the image that it served. A file is
//! gone for good before the image leaves.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use stria_core::packing::Packing;
use stria_core::protocol::client::{Chunks, Ticket, Whole};
use stria_core::protocol::greeting::Welcome;
use stria_core::protocol::ticket::Owner;
use zeroize::Zeroizing;

use super::super::error::SessionError;
use super::super::{durable, entropy};
use super::connection::input;
use super::options::{ClientOptions, Window};
use crate::model::Input;

/// Ends of the names of tickets' files.
const TICKET: &str = "ticket";
/// Who this client says that it is.
const OWNER: &str = "client-id";

/// What is known of a ticket beside itself.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TicketAbout {
    /// Where the server was.
    pub address: String,
    /// What it called its network.
    pub network: String,
    /// Names of its classes.
    pub classes: Vec<String>,
    /// Its packing, as far as it makes another client.
    pub packing: String,
    /// Whether the client is the small one, whose records the server keeps.
    pub small: bool,
    /// When it was prepared, in seconds since 1970.
    pub made: u64,
}

impl TicketAbout {
    /// What is known of a ticket that was prepared now.
    pub fn now(address: &str, network: &str, classes: &[String], options: &ClientOptions) -> Self {
        let made = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            address: address.into(),
            network: network.into(),
            classes: classes.to_vec(),
            packing: options.packing.name().into(),
            small: options.window == Window::Small,
            made: made.map_or(0, |made| made.as_secs()),
        }
    }

    /// The client that redeems it.
    pub fn options(&self, options: ClientOptions) -> ClientOptions {
        let packing = Packing::ALL.into_iter().find(|p| p.name() == self.packing);
        ClientOptions {
            window: Window::small_if(self.small),
            packing: packing.unwrap_or_default(),
            ..options
        }
    }
}

/// A ticket as its file has it.
pub struct SavedTicket {
    /// What is known of it.
    pub about: TicketAbout,
    /// See [`stria_core::Ticket::to_bytes`].
    pub bytes: Zeroizing<Vec<u8>>,
}

impl SavedTicket {
    /// What the server told of its network.
    pub fn welcome(&self) -> Result<Welcome, SessionError> {
        Ok(match self.about.small {
            true => Ticket::<Chunks<1>>::read(&self.bytes)?.welcome().clone(),
            false => Ticket::<Whole>::read(&self.bytes)?.welcome().clone(),
        })
    }

    /// How a picture becomes the network's input.
    pub fn input(&self) -> Result<Input, SessionError> {
        input(&self.welcome()?)
    }
}

/// A client's folder of tickets.
pub struct TicketFolder {
    path: PathBuf,
    /// Keeps everybody from cleaning it.
    _lock: File,
}

/// A ticket that nobody else uses as long as this is there.
pub struct HeldTicket {
    /// The ticket.
    pub ticket: SavedTicket,
    path: PathBuf,
    _lock: File,
}

impl HeldTicket {
    /// Takes it out of the folder for good: true for one caller alone.
    pub fn spend(&self) -> io::Result<bool> {
        durable::spend(&self.path)
    }

    /// Moves it into a file of its own, as [`Ticket::write`] made it: for another device. It leaves the
    /// folder first, so that a crash loses it and does not copy it. False if somebody else took it.
    pub fn export(&self, out: &Path) -> io::Result<bool> {
        if out.exists() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if !self.spend()? {
            return Ok(false);
        }
        durable::create(out, |file| file.write_all(&self.ticket.bytes))?;
        Ok(true)
    }
}

impl TicketFolder {
    /// The folder, which is made if there is none.
    pub fn open(path: &Path) -> io::Result<Self> {
        durable::folder(path)?;
        // Who is alone in it cleans it.
        if let Ok(alone) = durable::lock(path, true) {
            durable::clean(path)?;
            drop(alone);
        }
        Ok(Self {
            path: path.into(),
            _lock: durable::lock(path, false)?,
        })
    }

    /// Who the client says that it is: random, made on first use.
    pub fn owner(&self) -> io::Result<Owner> {
        let path = self.path.join(OWNER);
        let mut owner = Owner::default();
        match File::open(&path) {
            Ok(mut file) => file.read_exact(&mut owner)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                entropy::unique(&mut owner).map_err(io::Error::other)?;
                durable::create(&path, |file| file.write_all(&owner))?;
            }
            Err(error) => return Err(error),
        }
        Ok(owner)
    }

    /// Keeps a ticket: when this returns it is on the disk. Gives its file.
    pub fn save(&self, about: &TicketAbout, bytes: &[u8]) -> io::Result<PathBuf> {
        let mut name = [0; 8];
        entropy::unique(&mut name).map_err(io::Error::other)?;
        let name = u64::from_be_bytes(name);
        // In the order in which they were made.
        let path = self
            .path
            .join(format!("{}-{name:016x}.{TICKET}", about.made));
        let head = serde_json::to_vec(about)?;
        durable::create(&path, |file| {
            file.write_all(&(head.len() as u32).to_le_bytes())?;
            file.write_all(&head)?;
            file.write_all(&durable::itself(file)?)?;
            file.write_all(bytes)
        })?;
        Ok(path)
    }

    /// The files of all tickets, the oldest first.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        durable::files(&self.path, TICKET)
    }

    /// Reads a ticket, which stays. A file that is none, a damaged one or a copy is an error of the kind
    /// `InvalidData`.
    pub fn read(path: &Path) -> io::Result<SavedTicket> {
        read(&mut File::open(path)?)
    }

    /// Reads a ticket to redeem it; none if somebody else does so.
    pub fn hold(path: &Path) -> io::Result<Option<HeldTicket>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Some(HeldTicket {
            ticket: read(&mut file)?,
            path: path.into(),
            _lock: file,
        }))
    }

    /// Takes a ticket out of the folder for good: true for one caller alone.
    pub fn spend(path: &Path) -> io::Result<bool> {
        durable::spend(path)
    }
}

fn read(file: &mut File) -> io::Result<SavedTicket> {
    let invalid = |what| io::Error::new(ErrorKind::InvalidData, what);
    let damaged = || invalid("not a ticket, or a damaged one");
    let len = file.metadata()?.len() as usize;
    let mut bytes = Zeroizing::new(vec![0; len]);
    file.read_exact(&mut bytes)?;
    let (len, rest) = bytes.split_first_chunk().ok_or_else(damaged)?;
    let len = u32::from_le_bytes(*len) as usize;
    let (head, rest) = rest.split_at_checked(len).ok_or_else(damaged)?;
    let (itself, ticket) = rest.split_first_chunk().ok_or_else(damaged)?;
    // The one that it was copied from may have been used.
    if *itself != durable::itself(file)? {
        return Err(invalid("a copy of a ticket"));
    }
    Ok(SavedTicket {
        about: serde_json::from_slice(head).map_err(|_| damaged())?,
        bytes: Zeroizing::new(ticket.to_vec()),
    })
}
