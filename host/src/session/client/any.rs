//! A client of any size and packing behind one trait.

use rand_core::CryptoRng;
use stria_core::packing::Packing;
use stria_core::protocol::client::{Client, SmallClient};
use stria_core::protocol::frame::{Frame, FrameBuf};
use stria_core::protocol::greeting::Welcome;
use stria_core::protocol::linear::ClientLinear;
use stria_core::protocol::server::ServerShares;

use super::super::error::SessionError;
use super::classification::Classification;
use super::options::{ClientOptions, LargeClient, LargeSlotClient, Window};

/// The client that the options ask for.
pub(super) fn client(
    options: &ClientOptions,
    rng: &mut impl CryptoRng,
) -> Result<Box<dyn AnyClient>, SessionError> {
    let settings = options.settings;
    Ok(match (options.window, options.packing) {
        (Window::Small, Packing::Slot) => return Err(SessionError::NoRoom),
        (Window::Small, _) => Box::new(SmallClient::new(settings, rng)),
        (Window::Large, Packing::Slot) => Box::new(LargeSlotClient::new(settings, rng)),
        (Window::Large, _) => Box::new(LargeClient::new(settings, rng)),
    })
}

/// A client of either size.
pub(super) trait AnyClient: Send {
    fn poll(
        &mut self,
        app: &mut Classification,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, SessionError>;
    fn handle(&mut self, app: &mut Classification, frame: Frame<'_>) -> Result<(), SessionError>;
    fn start(&mut self) -> Result<(), SessionError>;
    fn finish(&mut self) -> Result<(), SessionError>;
    fn rests(&self) -> bool;
    fn welcome(&self) -> Option<&Welcome>;
    fn opened(&self, server: &ServerShares) -> Option<Vec<Vec<u32>>>;
    fn bytes(&self) -> usize;
}

impl<const CHUNKS: usize, const SUPPLY: usize, L> AnyClient for Client<CHUNKS, SUPPLY, L>
where
    L: ClientLinear + Send,
    L::Layout: Send,
{
    fn poll(
        &mut self,
        app: &mut Classification,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, SessionError> {
        Ok(self.poll(app, out)?)
    }
    fn handle(&mut self, app: &mut Classification, frame: Frame<'_>) -> Result<(), SessionError> {
        Ok(self.handle(app, frame)?)
    }
    fn start(&mut self) -> Result<(), SessionError> {
        Ok(self.start()?)
    }
    fn finish(&mut self) -> Result<(), SessionError> {
        Ok(self.finish()?)
    }
    fn rests(&self) -> bool {
        self.is_ready() || self.is_closed()
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
