//! A client of any size and packing behind one trait.

use rand_core::CryptoRng;
use stria_core::Party;
use stria_core::packing::Packing;
use stria_core::protocol::client::{Client, SmallClient};
use stria_core::protocol::greeting::Welcome;
use stria_core::protocol::linear::ClientLinear;
use stria_core::protocol::linear::segment::Segments;
use stria_core::protocol::linear::slot::Slots;
use stria_core::protocol::server::ServerShares;

use super::super::error::SessionError;
use super::classification::Classification;
use super::options::{ClientOptions, Window, large};

/// The client that the options ask for.
pub(super) fn client(
    options: &ClientOptions,
    rng: &mut impl CryptoRng,
) -> Result<Box<dyn AnyClient>, SessionError> {
    let settings = options.settings;
    Ok(match (options.window, options.packing) {
        (Window::Small, Packing::Slot) => return Err(SessionError::NoRoom),
        (Window::Small, _) => Box::new(SmallClient::new(settings, rng)),
        (Window::Large, Packing::Slot) => large::<Slots>(settings, rng),
        (Window::Large, _) => large::<Segments>(settings, rng),
    })
}

/// A client of either size.
pub(super) trait AnyClient: Send {
    /// The client and what it serves, for a driver.
    fn party<'a>(&'a mut self, app: &'a mut Classification) -> Box<dyn Party + 'a>;
    fn start(&mut self) -> Result<(), SessionError>;
    fn finish(&mut self) -> Result<(), SessionError>;
    fn welcome(&self) -> Option<&Welcome>;
    fn opened(&self, server: &ServerShares) -> Option<Vec<Vec<u32>>>;
    fn bytes(&self) -> usize;
}

impl<const CHUNKS: usize, L> AnyClient for Client<CHUNKS, L>
where
    L: ClientLinear + Send,
    L::Layout: Send,
{
    fn party<'a>(&'a mut self, app: &'a mut Classification) -> Box<dyn Party + 'a> {
        Box::new((self, app))
    }
    fn start(&mut self) -> Result<(), SessionError> {
        Ok(self.start()?)
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
        size_of::<Self>()
    }
}
