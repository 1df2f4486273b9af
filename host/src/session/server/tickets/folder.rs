//! Tickets in a folder: they outlast the server, but not a copy of the folder.
//!
//! Every ticket is a file of its own, under a key that takes both the folder's secret and the
//! client's lock. Each is bound to the very file that it is in: a copy of it cannot be opened. The
//! folder's secret is in the file `epoch`, which says the same of itself: in a folder that was
//! restored from a copy all tickets are void.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use stria_core::TicketError;
use stria_core::protocol::greeting::ModelId;
use stria_core::protocol::network::Network;
use stria_core::protocol::seal::{TAG, open_alone, seal_alone};
use stria_core::protocol::server::Tickets;
use stria_core::protocol::ticket::{Claim, Owner, TicketId};
use stria_core::random::{Kdf, Purpose, Seed, SessionId};
use zeroize::Zeroizing;

use super::index::{Entry, Index, TicketLimits};
use crate::session::durable;
use crate::session::entropy;

/// What files begin with.
const MAGIC: [u8; 8] = *b"stria-t1";
/// Ends of their names.
const TICKET: &str = "ticket";
/// Bytes before a ticket's sealed ones: what it begins with, and its owner.
const HEAD: usize = MAGIC.len() + size_of::<Owner>();

/// Tickets in a folder.
pub struct FolderTickets {
    folder: PathBuf,
    /// Keeps a second server out of the folder.
    _lock: File,
    epoch: Seed,
    model: ModelId,
    index: Mutex<Index>,
}

impl FolderTickets {
    /// The tickets of a folder, for this network; it is made if there is none.
    pub fn open(folder: &Path, network: &Network, limits: TicketLimits) -> io::Result<Self> {
        durable::folder(folder)?;
        let lock = durable::lock(folder, true).map_err(|error| match error.kind() {
            ErrorKind::ResourceBusy => {
                io::Error::new(error.kind(), "another server keeps tickets here")
            }
            _ => error,
        })?;
        durable::clean(folder)?;
        let epoch = epoch(folder)?;
        let fingerprint = SessionId(network.fingerprint());
        let seed = Kdf::new(&epoch, &fingerprint).seed(Purpose::Model, 0);
        let mut model = ModelId::default();
        model.copy_from_slice(&seed.0[..size_of::<ModelId>()]);
        let tickets = Self {
            index: Mutex::new(Index::new(limits)),
            folder: folder.into(),
            _lock: lock,
            epoch,
            model,
        };
        for path in durable::files(folder, TICKET)? {
            match (name(&path), entry(&path)) {
                (Some(id), Ok(entry)) => tickets.index().insert(id, entry),
                (_, Err(error)) => tracing::warn!(path = %path.display(), %error, "no ticket"),
                (None, _) => tracing::warn!(path = %path.display(), "no ticket"),
            }
        }
        tickets.drop_expired();
        Ok(tickets)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // A panic elsewhere cannot leave it half changed.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, id: &TicketId) -> PathBuf {
        let session = id.session.iter().map(|byte| format!("{byte:02x}"));
        let session: String = session.collect();
        let name = format!("{session}-{}.{TICKET}", id.inference);
        self.folder.join(name)
    }

    /// The key of a ticket's file, and of no other: gone with the client's token, or with this folder's
    /// secret.
    fn key(&self, claim: &Claim) -> Seed {
        let Claim { id, lock, .. } = claim;
        let lock = Kdf::new(&Seed(*lock), &SessionId(self.epoch.0));
        let lock = lock.seed(Purpose::Stored, id.inference);
        Kdf::new(&lock, &SessionId(id.session)).seed(Purpose::Stored, 0)
    }

    /// What its bytes are bound to: to this very file, too.
    fn associated(&self, claim: &Claim, file: &File) -> io::Result<Vec<u8>> {
        let Claim { id, owner, .. } = claim;
        let (inference, itself) = (id.inference.to_le_bytes(), durable::itself(file)?);
        Ok([
            &MAGIC[..],
            &self.model,
            owner,
            &id.session,
            &inference,
            &itself,
        ]
        .concat())
    }

    fn drop_expired(&self) {
        let expired = self.index().expired();
        for id in expired {
            if let Err(error) = self.spend(&id) {
                tracing::warn!(%error, "cannot drop an old ticket");
            }
        }
    }

    /// A ticket's bytes, and what they are bound to.
    fn read(&self, claim: &Claim) -> io::Result<(Zeroizing<Vec<u8>>, Vec<u8>)> {
        let mut file = File::open(self.path(&claim.id))?;
        let len = file.metadata()?.len() as usize;
        let mut bytes = Zeroizing::new(vec![0; len]);
        file.read_exact(&mut bytes)?;
        Ok((bytes, self.associated(claim, &file)?))
    }

    /// See [`durable::spend`].
    fn spend(&self, id: &TicketId) -> io::Result<bool> {
        let path = self.path(id);
        let spent = durable::spend(&path);
        // Also where it is gone, but not as it should be.
        if !path.exists() {
            self.index().remove(id);
        }
        spent
    }
}

/// Says what failed where the server's operator looks; the client is told less.
fn failed(error: &io::Error) -> TicketError {
    tracing::warn!(%error, "the folder of tickets");
    TicketError::Store
}

impl Tickets for FolderTickets {
    fn model(&self) -> ModelId {
        self.model
    }

    fn room(&self, owner: &Owner, count: u16, bytes: usize) -> Result<(), TicketError> {
        self.drop_expired();
        self.index().room(owner, count, (HEAD + bytes + TAG) as u64)
    }

    fn keep(&self, claim: &Claim, ticket: &[u8]) -> Result<(), TicketError> {
        let len = (HEAD + ticket.len() + TAG) as u64;
        let entry = Entry {
            owner: claim.owner,
            bytes: len,
            made: SystemTime::now(),
        };
        {
            let mut index = self.index();
            index.room(&claim.owner, 1, len)?;
            index.insert(claim.id, entry);
        }
        let made = durable::create(&self.path(&claim.id), |file| {
            let mut sealed = Zeroizing::new(ticket.to_vec());
            let tag = seal_alone(
                &self.key(claim),
                &self.associated(claim, file)?,
                &mut sealed,
            );
            let tag = tag.map_err(io::Error::other)?;
            file.write_all(&MAGIC)?;
            file.write_all(&claim.owner)?;
            file.write_all(&sealed)?;
            file.write_all(&tag)
        });
        made.map_err(|error| {
            self.index().remove(&claim.id);
            failed(&error)
        })
    }

    fn take(&self, claim: &Claim) -> Result<Zeroizing<Vec<u8>>, TicketError> {
        self.drop_expired();
        let (mut bytes, associated) = self.read(claim).map_err(|error| match error.kind() {
            ErrorKind::NotFound => TicketError::Unknown,
            _ => failed(&error),
        })?;
        let sealed = bytes.get_mut(HEAD..).ok_or(TicketError::Store)?;
        let (sealed, tag) = sealed
            .split_last_chunk_mut::<TAG>()
            .ok_or(TicketError::Store)?;
        // Of another client, with another token, damaged, or a copy.
        open_alone(&self.key(claim), &associated, sealed, tag).map_err(|_| TicketError::Unknown)?;
        let ticket = Zeroizing::new(sealed.to_vec());
        match self.spend(&claim.id) {
            Ok(true) => Ok(ticket),
            Ok(false) => Err(TicketError::Unknown),
            Err(error) => Err(failed(&error)),
        }
    }
}

/// What a file's name says.
fn name(path: &Path) -> Option<TicketId> {
    let (session, inference) = path.file_stem()?.to_str()?.split_once('-')?;
    let mut id = TicketId {
        session: [0; 32],
        inference: inference.parse().ok()?,
    };
    if session.len() != 2 * id.session.len() {
        return None;
    }
    for (i, byte) in id.session.iter_mut().enumerate() {
        *byte = u8::from_str_radix(session.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(id)
}

/// What is known of a ticket's file without opening it.
fn entry(path: &Path) -> io::Result<Entry> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let (mut magic, mut owner) = (MAGIC, Owner::default());
    file.read_exact(&mut magic)?;
    file.read_exact(&mut owner)?;
    if magic != MAGIC {
        return Err(io::Error::new(ErrorKind::InvalidData, "of another version"));
    }
    Ok(Entry {
        owner,
        bytes: metadata.len(),
        made: metadata.modified()?,
    })
}

/// The folder's secret. If there is none, or the folder is a copy, a new one is made, and whatever
/// tickets there are are void.
fn epoch(folder: &Path) -> io::Result<Seed> {
    let path = folder.join("epoch");
    match read_epoch(&path) {
        Ok(Some(epoch)) => return Ok(epoch),
        Ok(None) => tracing::warn!("the folder of tickets is a copy: all its tickets are void"),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    for path in durable::files(folder, TICKET)? {
        durable::spend(&path)?;
    }
    durable::spend(&path)?;
    let mut epoch = Seed([0; 32]);
    entropy::unique(&mut epoch.0).map_err(io::Error::other)?;
    durable::create(&path, |file| {
        let itself = durable::itself(file)?;
        file.write_all(&MAGIC)?;
        file.write_all(&epoch.0)?;
        file.write_all(&itself)
    })?;
    Ok(epoch)
}

/// The secret of an epoch's file; none if the file is a copy.
fn read_epoch(path: &Path) -> io::Result<Option<Seed>> {
    let mut file = File::open(path)?;
    let (mut magic, mut epoch, mut said) = (MAGIC, Seed([0; 32]), durable::Itself::default());
    file.read_exact(&mut magic)?;
    file.read_exact(&mut epoch.0)?;
    file.read_exact(&mut said)?;
    if magic != MAGIC {
        let other = "the folder of tickets is of another version";
        return Err(io::Error::new(ErrorKind::InvalidData, other));
    }
    let original = said == durable::itself(&file)?;
    Ok(original.then_some(epoch))
}
