//! A client for 16 KiB of RAM: it redeems a ticket of those in flash, has the picture answered, and says
//! goodbye. Somebody else has prepared them, and whoever has a ticket can open the picture that it
//! serves: a product gets them over a line that nobody reads.

use core::cell::{Cell, RefCell};

use critical_section::Mutex;
use rand_core::Rng;
use stria_core::{
    AnswerClient, Chunks, DriveError, Error, MAX_FRAME, PeerError, Ticket, Usage, drive,
};

use super::{Failed, Port};
use crate::board::{self, TicketPage};
use crate::line::Link;
use crate::meter::{Meter, Metered};
use crate::picture::Picture;

/// The client's state, all of it.
static CLIENT: Mutex<RefCell<AnswerClient>> = Mutex::new(RefCell::new(AnswerClient::closed()));
/// What is known of the pages since the start.
static SEEN: Mutex<Cell<Seen>> = Mutex::new(Cell::new(Seen {
    skipped: 0,
    dropped: false,
}));

/// What is known of the pages.
#[derive(Clone, Copy)]
struct Seen {
    /// Pages that are of no use here and now, counted from the first.
    skipped: usize,
    /// A ticket was destroyed because the server did not know it.
    dropped: bool,
}

/// Runs a session with the next ticket; afterwards the picture has its logits.
pub fn classify<U: Port>(
    picture: &mut Picture,
    meter: &mut Meter,
    link: &mut Link<U>,
    rng: &mut impl Rng,
) -> Result<(), Failed<U>> {
    // SAFETY: this function alone names it, and does not call itself.
    let client = unsafe { super::alone(&CLIENT) };
    client.close();
    let mut session = Metered {
        party: (client, picture),
        phase: |(client, _)| client.position().map(|(phase, _)| phase),
        meter,
    };
    // Room for one frame: RAM is short, and the link gathers what it sends.
    let mut buffer = [0; MAX_FRAME];
    let page = loop {
        link.connect(rng.next_u32()).map_err(DriveError::Io)?;
        let (client, picture) = &mut session.party;
        let page = redeem(client, picture);
        match drive(&mut session, link, &mut buffer, &mut ()) {
            Ok(()) => break page,
            Err(DriveError::Protocol(Error::Peer(reason))) if is_final(reason) => {
                semihosting::println!("stria error {}", reason);
                useless(page, reason);
            }
            Err(error) => return Err(error),
        }
    };
    // Before anything of the picture leaves.
    page.erase();
    session.party.0.start()?;
    drive(&mut session, link, &mut buffer, &mut ())?;
    session.party.0.finish()?;
    drive(&mut session, link, &mut buffer, &mut ())
}

/// Has the client redeem the next ticket that fits the picture; gives its page.
#[inline(never)]
fn redeem(client: &mut AnswerClient, picture: &mut Picture) -> TicketPage {
    let skipped = || critical_section::with(|token| SEEN.borrow(token).get().skipped);
    for page in TicketPage::all().skip(skipped()) {
        let begin = |bytes: &[u8]| {
            let ticket = Ticket::<Chunks<1>>::read(bytes)?;
            if !picture.fit(ticket.welcome()) {
                return Err(Error::Usage(Usage::Image));
            }
            client.redeem(ticket)
        };
        match page.read(begin) {
            Some(Ok(())) => return page,
            // It may be good for another program or picture.
            Some(Err(error)) => semihosting::println!("stria error {}", error),
            None => {}
        }
        skip();
    }
    semihosting::println!("stria error there is no ticket in flash that can be used");
    board::exit(2);
}

/// Whether the server will not take this ticket, now or later.
fn is_final(reason: PeerError) -> bool {
    matches!(
        reason,
        PeerError::TicketUnknown | PeerError::TicketModel | PeerError::TicketStore
    )
}

/// What to do with a ticket that the server did not take. It may be the wrong server, or somebody else
/// on the line, so one that it does not know is destroyed, and the others wait for the next start.
fn useless(page: TicketPage, reason: PeerError) {
    let drop = critical_section::with(|token| {
        let mut seen = SEEN.borrow(token).get();
        let drop = reason == PeerError::TicketUnknown && !seen.dropped;
        seen.dropped |= drop;
        SEEN.borrow(token).set(seen);
        drop
    });
    if drop {
        page.erase();
    }
    skip();
}

fn skip() {
    critical_section::with(|token| {
        let seen = SEEN.borrow(token).get();
        let skipped = seen.skipped + 1;
        SEEN.borrow(token).set(Seen { skipped, ..seen });
    });
}
