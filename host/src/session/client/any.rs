//! A client of any size and packing behind one trait.

use rand_core::CryptoRng;
use stria_core::packing::Packing;
use stria_core::protocol::activation::Phase;
use stria_core::protocol::client::{Client, Memory, SmallClient, Ticket, Whole};
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

/// The client that the options ask for.
pub(super) fn client(
    options: &ClientOptions,
    rng: &mut impl CryptoRng,
) -> Result<Box<dyn AnyClient>, SessionError> {
    let settings = options.settings;
    Ok(match (options.window, options.packing) {
        (Window::Small, Packing::Slot) => return Err(SessionError::NoRoom),
        (Window::Small, _) => Box::new(SmallClient::new(settings, rng)),
        (Window::Large, Packing::Slot) => Box::new(Client::<Whole, Slots>::new(settings, rng)),
        (Window::Large, _) => Box::new(Client::<Whole, Segments>::new(settings, rng)),
    })
}

/// A client without a session, of the kind that the options ask for.
pub(super) fn closed(options: &ClientOptions) -> Result<Box<dyn AnyClient>, SessionError> {
    Ok(match (options.window, options.packing) {
        (Window::Small, Packing::Slot) => return Err(SessionError::NoRoom),
        (Window::Small, _) => Box::new(SmallClient::closed()),
        (Window::Large, Packing::Slot) => Box::new(Client::<Whole, Slots>::closed()),
        (Window::Large, _) => Box::new(Client::<Whole, Segments>::closed()),
    })
}

/// A client of either size.
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
    fn prepare(&mut self) -> Result<(), SessionError>;
    fn is_prepared(&self) -> bool;
    fn start(&mut self) -> Result<(), SessionError>;
    /// See [`Client::prepare_ticket`].
    fn prepare_ticket(&mut self, owner: Owner) -> Result<(), SessionError>;
    /// The bytes of [`Client::ticket`].
    fn ticket(&mut self) -> Result<Zeroizing<Vec<u8>>, SessionError>;
    /// See [`Client::redeem`].
    fn redeem(&mut self, ticket: &[u8]) -> Result<(), SessionError>;
    fn finish(&mut self) -> Result<(), SessionError>;
    fn welcome(&self) -> Option<&Welcome>;
    fn opened(&self, server: &ServerShares) -> Option<Vec<Vec<u32>>>;
    fn bytes(&self) -> usize;
}

impl<M, L> AnyClient for Client<M, L>
where
    M: Memory + Send,
    L: ClientLinear + Send,
    L::Layout: Send,
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
        self.is_ready() || self.is_closed()
    }
    fn close(&mut self) {
        self.close();
    }
    fn position(&self) -> Option<(Phase, u16)> {
        self.position()
    }
    fn prepare(&mut self) -> Result<(), SessionError> {
        Ok(self.prepare()?)
    }
    fn is_prepared(&self) -> bool {
        self.is_prepared()
    }
    fn start(&mut self) -> Result<(), SessionError> {
        Ok(self.start()?)
    }
    fn prepare_ticket(&mut self, owner: Owner) -> Result<(), SessionError> {
        Ok(self.prepare_ticket(owner)?)
    }
    fn ticket(&mut self) -> Result<Zeroizing<Vec<u8>>, SessionError> {
        let ticket = self.ticket().ok_or(SessionError::Closed)?;
        Ok(ticket.to_bytes()?)
    }
    fn redeem(&mut self, ticket: &[u8]) -> Result<(), SessionError> {
        Ok(self.redeem(Ticket::read(ticket)?)?)
    }
    fn finish(&mut self) -> Result<(), SessionError> {
        Ok(self.finish()?)
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
