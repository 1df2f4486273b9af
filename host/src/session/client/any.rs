//! A client of any size and packing behind one trait.

use rand_core::CryptoRng;
use stria_core::packing::Packing;
use stria_core::protocol::activation::Phase;
use stria_core::protocol::client::{
    AnswerClient, Chunks, Client, Driven, Memory, SmallClient, Ticket, Whole,
};
use stria_core::protocol::greeting::Welcome;
use stria_core::protocol::linear::ClientLinear;
use stria_core::protocol::linear::segment::Segments;
use stria_core::protocol::linear::slot::Slots;
use stria_core::protocol::server::ServerShares;
use stria_core::protocol::ticket::Owner;
use stria_core::{Error, Frame, FrameBuf};
use zeroize::Zeroizing;

use super::super::error::SessionError;
use super::classification::Classification;
use super::options::{ClientOptions, Window};

/// A client, by what it can do before the image.
pub(super) enum Kind {
    /// It prepares inferences.
    Prepares(Box<dyn Prepares>),
    /// It redeems those that are prepared.
    Redeems(Box<dyn Redeems>),
}

impl Kind {
    /// The client that the options ask for.
    pub fn preparing(
        options: &ClientOptions,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, SessionError> {
        let settings = options.settings;
        Ok(Self::Prepares(match (options.window, options.packing) {
            (Window::Small, Packing::Slot) => return Err(SessionError::NoRoom),
            (Window::Small, _) => Box::new(SmallClient::new(settings, rng)),
            (Window::Large, Packing::Slot) => Box::new(Client::<Whole, Slots>::new(settings, rng)),
            (Window::Large, _) => Box::new(Client::<Whole, Segments>::new(settings, rng)),
        }))
    }

    /// The client for tickets that were prepared with these options.
    pub fn redeeming(options: &ClientOptions) -> Result<Self, SessionError> {
        Ok(Self::Redeems(match (options.window, options.packing) {
            (Window::Small, Packing::Slot) => return Err(SessionError::NoRoom),
            (Window::Small, _) => Box::new(AnswerClient::<Chunks<1>>::closed()),
            (Window::Large, Packing::Slot) => Box::new(AnswerClient::<Whole, Slots>::closed()),
            (Window::Large, _) => Box::new(AnswerClient::<Whole>::closed()),
        }))
    }

    /// What both have.
    pub fn any(&self) -> &dyn AnyClient {
        match self {
            Self::Prepares(client) => &**client,
            Self::Redeems(client) => &**client,
        }
    }

    /// What both have.
    pub fn any_mut(&mut self) -> &mut dyn AnyClient {
        match self {
            Self::Prepares(client) => &mut **client,
            Self::Redeems(client) => &mut **client,
        }
    }

    /// The client that prepares.
    pub fn prepares(&mut self) -> Result<&mut dyn Prepares, SessionError> {
        match self {
            Self::Prepares(client) => Ok(&mut **client),
            Self::Redeems(_) => Err(SessionError::Redeems),
        }
    }

    /// The client that redeems.
    pub fn redeems(&mut self) -> Result<&mut dyn Redeems, SessionError> {
        match self {
            Self::Prepares(_) => Err(SessionError::Prepares),
            Self::Redeems(client) => Ok(&mut **client),
        }
    }
}

/// A client that prepares inferences.
pub(super) trait Prepares: AnyClient {
    /// See [`Client::prepare`].
    fn prepare(&mut self) -> Result<(), Error>;
    /// See [`Client::prepare_tickets`].
    fn prepare_tickets(&mut self, owner: Owner, count: u16) -> Result<(), Error>;
    /// The bytes of [`Client::ticket`].
    fn ticket(&mut self) -> Result<Zeroizing<Vec<u8>>, SessionError>;
}

/// A client that redeems tickets.
pub(super) trait Redeems: AnyClient {
    /// See [`AnswerClient::redeem`].
    fn redeem(&mut self, ticket: &[u8]) -> Result<(), Error>;
}

/// A client of either kind.
pub(super) trait AnyClient: Send {
    /// See [`Client::poll`].
    fn poll(
        &mut self,
        app: &mut Classification,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, Error>;
    /// See [`Client::handle`].
    fn handle(&mut self, app: &mut Classification, frame: Frame<'_>) -> Result<(), Error>;
    fn rests(&self) -> bool;
    fn close(&mut self);
    /// See [`Client::position`].
    fn position(&self) -> Option<(Phase, u16)>;
    fn is_prepared(&self) -> bool;
    /// See [`Client::start`].
    fn start(&mut self) -> Result<(), Error>;
    fn finish(&mut self) -> Result<(), Error>;
    fn welcome(&self) -> Option<&Welcome>;
    fn opened(&self, server: &ServerShares) -> Option<Vec<Vec<u32>>>;
    fn bytes(&self) -> usize;
}

macro_rules! any_client {
    ($client:ident) => {
        impl<M, L> AnyClient for $client<M, L>
        where
            M: Memory<Residues: Send> + Send,
            L: ClientLinear<Layout: Send> + Send,
        {
            fn poll(
                &mut self,
                app: &mut Classification,
                out: &mut FrameBuf,
            ) -> Result<Option<usize>, Error> {
                self.poll(app, out)
            }
            fn handle(&mut self, app: &mut Classification, frame: Frame<'_>) -> Result<(), Error> {
                self.handle(app, frame)
            }
            fn rests(&self) -> bool {
                Driven::rests(self)
            }
            fn close(&mut self) {
                self.close();
            }
            fn position(&self) -> Option<(Phase, u16)> {
                self.position()
            }
            fn is_prepared(&self) -> bool {
                self.is_prepared()
            }
            fn start(&mut self) -> Result<(), Error> {
                self.start()
            }
            fn finish(&mut self) -> Result<(), Error> {
                self.finish()
            }
            fn welcome(&self) -> Option<&Welcome> {
                self.welcome()
            }
            fn opened(&self, server: &ServerShares) -> Option<Vec<Vec<u32>>> {
                server.open(self)
            }
            fn bytes(&self) -> usize {
                self.bytes()
            }
        }
    };
}

any_client!(Client);
any_client!(AnswerClient);

impl<M, L> Prepares for Client<M, L>
where
    M: Memory<Residues: Send> + Send,
    L: ClientLinear<Layout: Send> + Send,
{
    fn prepare(&mut self) -> Result<(), Error> {
        self.prepare()
    }
    fn prepare_tickets(&mut self, owner: Owner, count: u16) -> Result<(), Error> {
        self.prepare_tickets(owner, count)
    }
    fn ticket(&mut self) -> Result<Zeroizing<Vec<u8>>, SessionError> {
        let ticket = self.ticket().ok_or(SessionError::Closed)?;
        Ok(ticket.to_bytes()?)
    }
}

impl<M, L> Redeems for AnswerClient<M, L>
where
    M: Memory<Residues: Send> + Send,
    L: ClientLinear<Layout: Send> + Send,
{
    fn redeem(&mut self, ticket: &[u8]) -> Result<(), Error> {
        self.redeem(Ticket::read(ticket)?)
    }
}
