//! Tickets (`core/docs/design.md#tickets`): an inference that was prepared in one session is answered
//! in another one, exactly, once, and by nobody else.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, thread};

use stria_core::packing::Packing;
use stria_core::protocol::client::{AnswerClient, Chunks, Client, Memory, Ticket, Whole};
use stria_core::protocol::frame::{Frame, HEADER, Kind, MAX_FRAME};
use stria_core::protocol::greeting::{VERSION, write_control};
use stria_core::protocol::linear::ClientLinear;
use stria_core::protocol::linear::segment::Segments;
use stria_core::protocol::linear::slot::Slots;
use stria_core::protocol::network::Network;
use stria_core::protocol::server::{Budget, Server, Tickets};
use stria_core::protocol::ticket::{Redeem, TicketId, lock};
use stria_core::random::Seed;
use stria_core::{Error, TicketError, Usage, loopback};
use stria_host::session::server::{FolderTickets, MemoryTickets, TicketLimits};
use stria_tests::rng;
use stria_tests::two_party::{Image, Plain, settings};

pub(super) const OWNER: [u8; 32] = [7; 32];

pub(super) fn memory() -> Arc<dyn Tickets> {
    Arc::new(MemoryTickets::new(TicketLimits::default()).unwrap())
}

pub(super) fn server(network: &Arc<Network>, tickets: &Arc<dyn Tickets>, seed: u64) -> Server {
    let server = Server::new(network.clone(), Budget::new(9), &mut rng(seed));
    server.with_tickets(tickets.clone(), 1 << 30)
}

/// Prepares so many tickets in a session of its own, and gives them as they are stored.
pub(super) fn prepared<M: Memory, L: ClientLinear>(
    network: &Arc<Network>,
    tickets: &Arc<dyn Tickets>,
    h: u8,
    count: usize,
) -> Result<Vec<Vec<u8>>, Error> {
    let mut client: Client<M, L> = Client::new(settings(4, h), &mut rng(1));
    let mut server = server(network, tickets, 2);
    let (mut image, mut buffer) = (Image::random(0), [0; MAX_FRAME]);
    loopback(&mut (&mut client, &mut image), &mut server, &mut buffer)?;
    let mut stored = Vec::new();
    client.prepare_tickets(OWNER, count as u16)?;
    for _ in 0..count {
        assert!(client.ticket().is_none(), "it is not prepared yet");
        loopback(&mut (&mut client, &mut image), &mut server, &mut buffer)?;
        assert!(!client.is_prepared(), "it is not this session's to answer");
        stored.push(client.ticket().unwrap().to_bytes().unwrap().to_vec());
    }
    client.finish()?;
    loopback(&mut (&mut client, &mut image), &mut server, &mut buffer)?;
    assert_eq!(server.counters().queries, count as u32);
    Ok(stored)
}

/// A client that has a ticket taken by the server.
pub(super) fn redeemed<M: Memory, L: ClientLinear>(
    client: &mut AnswerClient<M, L>,
    server: &mut Server,
    ticket: &[u8],
) -> Result<(), Error> {
    client.redeem(Ticket::read(ticket)?)?;
    let mut image = Image::random(0);
    loopback(&mut (client, &mut image), server, &mut [0; MAX_FRAME])
}

fn answers_exactly<M: Memory, L: ClientLinear>(packing: Packing) {
    let plain = Plain::small();
    let (network, tickets) = (plain.packed(packing, usize::MAX), memory());
    let stored = prepared::<M, L>(&network, &tickets, 12, 3).unwrap();
    // In another order, and two over one line.
    let mut client: AnswerClient<M, L> = AnswerClient::closed();
    let mut server = server(&network, &tickets, 3);
    for (seed, ticket) in [(4, &stored[2]), (5, &stored[0])] {
        redeemed(&mut client, &mut server, ticket).unwrap();
        assert!(client.is_prepared());
        let mut image = Image::random(seed);
        client.start().unwrap();
        let mut buffer = [0; MAX_FRAME];
        loopback(&mut (&mut client, &mut image), &mut server, &mut buffer).unwrap();
        let tensors = plain.opened(&image, &server.audit().open(&client).unwrap());
        plain.assert_exact(&tensors, &image.logits, 12);
        assert!(client.is_ready() && !client.is_prepared());
        assert!(client.start().is_err());
    }
    // Answers were paid for when they were prepared.
    let counters = server.counters();
    assert_eq!((counters.queries, counters.answered), (0, 2));
    client.finish().unwrap();
    let mut image = Image::random(0);
    loopback(
        &mut (&mut client, &mut image),
        &mut server,
        &mut [0; MAX_FRAME],
    )
    .unwrap();
    assert!(server.is_closed());
}

#[test]
fn a_ticket_is_answered_in_another_session() {
    answers_exactly::<Chunks<1>, Segments>(Packing::Segment);
    answers_exactly::<Whole, Segments>(Packing::Coefficient);
    answers_exactly::<Whole, Slots>(Packing::Slot);
}

#[test]
fn a_ticket_is_redeemed_once_and_by_its_owner() {
    let (network, tickets) = (Plain::tiny().network(), memory());
    let stored = prepared::<Whole, Segments>(&network, &tickets, 8, 1).unwrap();
    let ticket = &stored[0];
    let mut client: AnswerClient<Whole> = AnswerClient::closed();
    // What the client says, and the same with each part of it changed.
    client.redeem(Ticket::read(ticket).unwrap()).unwrap();
    let mut buffer = [0; MAX_FRAME];
    let len = client.poll(&mut Image::random(0), &mut buffer).unwrap();
    let said = Frame::new_checked(&buffer[..len.unwrap()]).unwrap().payload;
    let claimed = said.to_vec();
    let unknown = Error::Ticket(TicketError::Unknown);
    // Version in the first byte; then model, session and inference, owner, token.
    for (at, error) in [
        (1, Error::Ticket(TicketError::Model)),
        (17, unknown),
        (49, unknown),
        (50, unknown),
        (82, unknown),
        (said.len() - 1, unknown),
    ] {
        let mut other = claimed.clone();
        other[at] ^= 1;
        let mut frame = [0; MAX_FRAME];
        let bytes = [&[Kind::Redeem as u8, other.len() as u8, 0][..], &other].concat();
        frame[..bytes.len()].copy_from_slice(&bytes);
        let mut server = server(&network, &tickets, 3);
        let frame = Frame::new_checked(&frame[..bytes.len()]).unwrap();
        assert_eq!(server.handle(frame), Err(error), "byte {at}");
        assert!(server.is_closed());
    }
    let mut older = claimed.clone();
    older[0] -= 1;
    let mut frame = [0; MAX_FRAME];
    frame[..HEADER].copy_from_slice(&[Kind::Redeem as u8, older.len() as u8, 0]);
    frame[HEADER..][..older.len()].copy_from_slice(&older);
    let frame = Frame::new_checked(&frame[..HEADER + older.len()]).unwrap();
    let told = server(&network, &tickets, 3).handle(frame);
    assert_eq!(
        told,
        Err(Error::Version {
            ours: VERSION,
            theirs: VERSION - 1
        })
    );
    // None of these has spent it. It is taken once, whether or not an image comes.
    client.close();
    redeemed(&mut client, &mut server(&network, &tickets, 3), ticket).unwrap();
    client.close();
    let again = redeemed(&mut client, &mut server(&network, &tickets, 3), ticket);
    assert_eq!(again, Err(unknown));
}

#[test]
fn a_token_opens_its_lock_alone() {
    let id = TicketId {
        session: [2; 32],
        inference: 3,
    };
    let redeem = Redeem::new([1; 16], id, OWNER, &Seed([4; 32]));
    assert_eq!(redeem.claim().lock, lock(&[4; 32]));
    assert_ne!(redeem.claim().lock, [4; 32]);
    assert_ne!(lock(&[5; 32]), lock(&[4; 32]));
}

#[test]
fn other_networks_and_servers_without_tickets_say_so() {
    let (network, tickets) = (Plain::tiny().network(), memory());
    let stored = prepared::<Chunks<1>, Segments>(&network, &tickets, 8, 1).unwrap();
    let mut client: AnswerClient<Chunks<1>> = AnswerClient::closed();
    let told = redeemed(&mut client, &mut server(&network, &memory(), 3), &stored[0]);
    assert_eq!(told, Err(Error::Ticket(TicketError::Model)));
    client.close();
    let mut none = Server::new(network.clone(), Budget::new(9), &mut rng(3));
    let told = redeemed(&mut client, &mut none, &stored[0]);
    assert_eq!(told, Err(Error::Ticket(TicketError::Unsupported)));

    let mut client: Client<Chunks<1>> = Client::new(settings(4, 8), &mut rng(1));
    let mut none = Server::new(network, Budget::new(9), &mut rng(2));
    let (mut image, mut buffer) = (Image::random(0), [0; MAX_FRAME]);
    loopback(&mut (&mut client, &mut image), &mut none, &mut buffer).unwrap();
    let told = client.prepare_tickets(OWNER, 1);
    assert_eq!(told, Err(Error::Ticket(TicketError::Unsupported)));
    assert_eq!(none.counters().queries, 0);
}

#[test]
fn a_full_store_says_so_before_the_work() {
    let network = Plain::tiny().network();
    let kept = |limits| -> Result<usize, Error> {
        let tickets: Arc<dyn Tickets> = Arc::new(MemoryTickets::new(limits).unwrap());
        prepared::<Whole, Segments>(&network, &tickets, 8, 2).map(|stored| stored.len())
    };
    let limits = TicketLimits::default();
    assert_eq!(kept(limits), Ok(2));
    let full = Err(Error::Ticket(TicketError::Full));
    let (tickets, of_client, bytes) = (1, 1, 1000);
    assert_eq!(kept(TicketLimits { tickets, ..limits }), full);
    assert_eq!(
        kept(TicketLimits {
            of_client,
            ..limits
        }),
        full
    );
    assert_eq!(kept(TicketLimits { bytes, ..limits }), full);
}

/// A folder that is removed in the end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let name = format!("stria-tickets-{name}-{}", std::process::id());
        let path = env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    pub(super) fn open(&self, network: &Network) -> Arc<dyn Tickets> {
        let tickets = FolderTickets::open(&self.0, network, TicketLimits::default());
        Arc::new(tickets.unwrap())
    }

    pub(super) fn tickets(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let is_ticket = |path: &PathBuf| path.extension().is_some_and(|end| end == "ticket");
        paths.filter(is_ticket).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_folder_outlasts_the_server_but_no_copy_of_itself() {
    let folder = Folder::new("restart");
    let network = Plain::tiny().network();
    let tickets = folder.open(&network);
    let stored = prepared::<Chunks<1>, Segments>(&network, &tickets, 8, 3).unwrap();
    assert_eq!(folder.tickets().len(), 3);
    assert!(
        FolderTickets::open(&folder.0, &network, TicketLimits::default()).is_err(),
        "two servers keep tickets in one folder"
    );
    let mut client: AnswerClient<Chunks<1>> = AnswerClient::closed();
    drop(tickets);

    // The same network after a restart, and another one.
    let tickets = folder.open(&network);
    redeemed(&mut client, &mut server(&network, &tickets, 3), &stored[0]).unwrap();
    assert_eq!(folder.tickets().len(), 2);
    client.close();
    drop(tickets);
    let mut other = Plain::tiny();
    other.layers[0].1[0] += 1;
    let other = other.network();
    let told = redeemed(
        &mut client,
        &mut server(&other, &folder.open(&other), 3),
        &stored[1],
    );
    assert_eq!(told, Err(Error::Ticket(TicketError::Model)));

    // Damage.
    let damaged = folder.tickets();
    for path in &damaged {
        let mut bytes = fs::read(path).unwrap();
        let last = bytes.len() - 20;
        bytes[last] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    client.close();
    let tickets = folder.open(&network);
    let told = redeemed(&mut client, &mut server(&network, &tickets, 3), &stored[1]);
    assert_eq!(told, Err(Error::Ticket(TicketError::Unknown)));
    drop(tickets);

    // Copied away and back.
    let epoch = folder.0.join("epoch");
    let copy = fs::read(&epoch).unwrap();
    fs::remove_file(&epoch).unwrap();
    fs::write(
        folder.0.join("between"),
        b"so that the number is not used again",
    )
    .unwrap();
    fs::write(&epoch, copy).unwrap();
    client.close();
    let tickets = folder.open(&network);
    assert_eq!(folder.tickets().len(), 0);
    let told = redeemed(&mut client, &mut server(&network, &tickets, 3), &stored[2]);
    assert_eq!(told, Err(Error::Ticket(TicketError::Model)));
}

#[test]
fn old_tickets_are_dropped() {
    let network = Plain::tiny().network();
    let limits = TicketLimits {
        life: Duration::ZERO,
        ..TicketLimits::default()
    };
    let tickets: Arc<dyn Tickets> = Arc::new(MemoryTickets::new(limits).unwrap());
    let stored = prepared::<Chunks<1>, Segments>(&network, &tickets, 8, 1).unwrap();
    thread::sleep(Duration::from_millis(2));
    let mut client: AnswerClient<Chunks<1>> = AnswerClient::closed();
    let told = redeemed(&mut client, &mut server(&network, &tickets, 3), &stored[0]);
    assert_eq!(told, Err(Error::Ticket(TicketError::Unknown)));
}

/// Shares, keys and tokens of an inference do not follow from what a later one leaves behind.
#[test]
fn every_ticket_has_secrets_of_its_own() {
    let (network, tickets) = (Plain::tiny().network(), memory());
    let stored = prepared::<Chunks<1>, Segments>(&network, &tickets, 8, 2).unwrap();
    let said = |ticket: &[u8]| {
        let mut client: AnswerClient<Chunks<1>> = AnswerClient::closed();
        client.redeem(Ticket::read(ticket).unwrap()).unwrap();
        let mut buffer = [0; MAX_FRAME];
        let len = client.poll(&mut Image::random(0), &mut buffer).unwrap();
        buffer[HEADER..len.unwrap()].to_vec()
    };
    let [one, other] = [&stored[0], &stored[1]].map(|ticket| said(ticket));
    let token = one.len() - 32;
    assert_ne!(one[token..], other[token..]);
    // The session is the same, and its number another one.
    assert_eq!(one[..49], other[..49]);
    assert_eq!((one[49], other[49]), (0, 1));
}

/// The client that redeems does one thing after the other, and after an error nothing.
#[test]
fn an_answer_client_keeps_its_order() {
    let (network, tickets) = (Plain::tiny().network(), memory());
    let stored = prepared::<Chunks<1>, Segments>(&network, &tickets, 8, 3).unwrap();
    let ticket = |i: usize| Ticket::<Chunks<1>>::read(&stored[i]).unwrap();
    let not_ready = Err(Error::Usage(Usage::NotReady));
    let (mut image, mut buffer) = (Image::random(4), [0; MAX_FRAME]);
    let mut client: AnswerClient = AnswerClient::closed();
    let mut server = server(&network, &tickets, 3);
    assert_eq!((client.start(), client.finish()), (not_ready, not_ready));
    assert!(client.is_closed() && client.welcome().is_none());
    client.redeem(ticket(0)).unwrap();
    let stuck = |client: &mut AnswerClient| {
        assert_eq!((client.start(), client.finish()), (not_ready, not_ready));
        assert_eq!(client.redeem(ticket(1)), not_ready);
        assert!(!client.is_closed() && !client.is_ready());
    };
    // Before it has said so, before the server has, and while it is answered.
    stuck(&mut client);
    let len = client.poll(&mut image, &mut buffer).unwrap().unwrap();
    stuck(&mut client);
    let frame = Frame::new_checked(&buffer[..len]).unwrap();
    server.handle(frame).unwrap();
    loopback(&mut (&mut client, &mut image), &mut server, &mut buffer).unwrap();
    assert!(client.is_prepared() && client.redeem(ticket(1)) == not_ready);
    client.start().unwrap();
    stuck(&mut client);
    loopback(&mut (&mut client, &mut image), &mut server, &mut buffer).unwrap();
    assert!(client.is_ready() && !client.is_prepared() && client.start() == not_ready);
    assert_eq!(image.logits.len(), 5);
    let shares = server.audit();
    assert!(shares.open(&client).is_some());

    // An error while it is answered ends it, and nothing of it is left for the next ticket.
    redeemed(&mut client, &mut server, &stored[1]).unwrap();
    client.start().unwrap();
    client.poll(&mut image, &mut buffer).unwrap().unwrap();
    let len = write_control(&mut buffer, Kind::Redeemed, &()).unwrap();
    let frame = Frame::new_checked(&buffer[..len]).unwrap();
    assert!(client.handle(&mut image, frame).is_err());
    assert!(client.is_closed() && client.start() == not_ready);
    assert!(shares.open(&client).is_none() && server.audit().open(&client).is_none());
    let mut server = self::server(&network, &tickets, 5);
    redeemed(&mut client, &mut server, &stored[2]).unwrap();
    image.logits.clear();
    client.start().unwrap();
    loopback(&mut (&mut client, &mut image), &mut server, &mut buffer).unwrap();
    assert_eq!(image.logits.len(), 5);

    // At rest it takes no frame.
    let len = write_control(&mut buffer, Kind::Redeemed, &()).unwrap();
    let frame = Frame::new_checked(&buffer[..len]).unwrap();
    assert!(client.handle(&mut image, frame).is_err() && client.is_closed());
}
