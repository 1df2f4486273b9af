//! The server: one session of one client with one network.
//! `docs/design.md#one-inference` and `#circuit-privacy`; the client's half of every step is in
//! [`super::client`].

mod answer;
#[cfg(feature = "audit")]
mod audit;
mod counters;
mod inferring;
mod prepare;
mod session;
mod setup;
mod tickets;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use core::mem;

use rand_core::CryptoRng;

use self::answer::{Answering, Home};
use self::inferring::{Inferring, Shares};
use self::prepare::Preparing;
use self::session::Session;
use self::setup::{Secrets, Stage};
use super::frame::{Frame, FrameBuf, Kind};
use super::network::Network;
use crate::Error;
use crate::error::TicketError;
use crate::random::{Seed, SessionId};

#[cfg(feature = "audit")]
pub use audit::ServerShares;
pub use counters::{Budget, Counters, LayerCounters};
pub use tickets::Tickets;

/// The server's side of one session.
pub struct Server {
    context: Context,
    state: State,
}

/// What does not depend on where the session is.
struct Context {
    network: Arc<Network>,
    budget: Budget,
    counters: Counters,
    tickets: Option<Arc<dyn Tickets>>,
    /// Bytes for tickets that are prepared together.
    batch_memory: usize,
}

impl Context {
    fn tickets(&self) -> Result<&dyn Tickets, Error> {
        let unsupported = Error::Ticket(TicketError::Unsupported);
        self.tickets.as_deref().ok_or(unsupported)
    }
}

/// Where the session is, with all that exists there. Every step takes the state apart and makes the
/// next one of it. On an error there is none, so the session is closed, and what was taken is
/// dropped, which erases its secrets.
enum State {
    Closed,
    /// Awaits the client's greeting.
    Hello(Box<Secrets>),
    /// The set-up, from the greetings on.
    Setup(Box<Session>, Stage),
    /// Between inferences, or between the two phases of one.
    Ready(Box<Inferring>),
    Prepare(Box<Inferring>, Box<Preparing>),
    Answer(Home, Box<Answering>),
    /// After the answer of a ticket: the next one may be redeemed. With the session that prepared it,
    /// and the server's shares, for whoever opens them.
    Redeem(SessionId, Shares),
}

impl Server {
    /// A server that waits for a client's greeting. All its secrets come from `rng`, which must
    /// never repeat what it gave before.
    pub fn new(network: Arc<Network>, budget: Budget, rng: &mut impl CryptoRng) -> Self {
        let secret = Seed::random(rng);
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        Self {
            context: Context {
                budget,
                counters: Counters {
                    layers: vec![LayerCounters::default(); network.layers.len()],
                    ..Counters::default()
                },
                network,
                tickets: None,
                batch_memory: 0,
            },
            state: State::Hello(Box::new(Secrets { secret, nonce })),
        }
    }

    /// Lets clients keep tickets and redeem them. This session may take so many bytes for tickets that
    /// are prepared together: see [`Network::batch`].
    #[must_use]
    pub fn with_tickets(mut self, tickets: Arc<dyn Tickets>, batch_memory: usize) -> Self {
        self.context.tickets = Some(tickets);
        self.context.batch_memory = batch_memory;
        self
    }

    /// Whether the session has ended.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether no inference is prepared or answered at the moment. Whoever closes the session then loses
    /// at most one that is prepared and waits for its image.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready(_) | State::Redeem(..))
    }

    /// Whether an inference is prepared or answered.
    pub fn is_busy(&self) -> bool {
        matches!(self.state, State::Prepare(..) | State::Answer(..))
    }

    /// Work done so far.
    pub fn counters(&self) -> &Counters {
        &self.context.counters
    }

    /// Ends the session and erases its material, when the line fails for example. Any error of
    /// this server does so by itself.
    pub fn close(&mut self) {
        self.state = State::Closed;
    }

    /// Writes the next frame; none while the client's is awaited, or when closed. After an error
    /// the session is closed.
    pub fn poll(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        let state = mem::replace(&mut self.state, State::Closed);
        let (state, len) = state.poll(&mut self.context, out)?;
        self.state = state;
        Ok(len)
    }

    /// Takes the client's next frame. After an error the session is closed.
    pub fn handle(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        let state = mem::replace(&mut self.state, State::Closed);
        self.state = state.handle(&mut self.context, frame)?;
        Ok(())
    }
}

impl State {
    /// Takes the frame that begins to prepare an inference, or to answer the prepared one.
    fn begin(
        mut inferring: Box<Inferring>,
        context: &mut Context,
        frame: Frame<'_>,
    ) -> Result<Self, Error> {
        if let Some(ticket) = inferring.ticket.take() {
            let answering = Answering::new(inferring.session.terms(), context, ticket, false);
            return answering.handle(Home::Here(inferring), context, frame);
        }
        let deposit = tickets::deposit(frame)?;
        let count = match &deposit {
            Some(deposit) => tickets::room(&inferring.session, context, deposit)?,
            None => 1,
        };
        // Queries are charged before the first response, whatever becomes of them.
        context.budget.charge(count)?;
        context.counters.queries += u32::from(count);
        let first = inferring.inferences;
        inferring.inferences += u64::from(count);
        Preparing::new(&inferring, context, first, count).begin(inferring, context, deposit)
    }

    /// Takes the frame that redeems a ticket.
    fn redeem(context: &Context, frame: Frame<'_>) -> Result<Self, Error> {
        let (terms, ticket) = tickets::redeem(context, frame)?;
        let answering = Answering::new(terms, context, ticket, true);
        Ok(Self::Answer(Home::Ticket, answering))
    }

    fn poll(
        self,
        context: &mut Context,
        out: &mut FrameBuf,
    ) -> Result<(Self, Option<usize>), Error> {
        match self {
            Self::Setup(session, stage) => stage.poll(session, context, out),
            Self::Prepare(inferring, preparing) => preparing.poll(inferring, context, out),
            Self::Answer(home, answering) => answering.poll(home, context, out),
            Self::Closed | Self::Hello(_) | Self::Ready(_) | Self::Redeem(..) => Ok((self, None)),
        }
    }

    fn handle(self, context: &mut Context, frame: Frame<'_>) -> Result<Self, Error> {
        match self {
            Self::Hello(_) | Self::Redeem(..) if frame.kind == Kind::Redeem => {
                Self::redeem(context, frame)
            }
            Self::Hello(secrets) => secrets.greeted(context, frame),
            Self::Setup(session, stage) => stage.handle(session, context, frame),
            Self::Ready(_) | Self::Redeem(..) if frame.kind == Kind::Bye => {
                frame.expect_array::<0>(Kind::Bye)?;
                Ok(Self::Closed)
            }
            Self::Ready(inferring) => Self::begin(inferring, context, frame),
            Self::Prepare(inferring, preparing) => preparing.handle(inferring, context, frame),
            Self::Answer(home, answering) => answering.handle(home, context, frame),
            Self::Closed | Self::Redeem(..) => Err(frame.unexpected()),
        }
    }
}
