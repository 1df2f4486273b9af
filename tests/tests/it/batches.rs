//! Batches (`core/docs/design.md#batches`): tickets that are prepared together are as good as others,
//! each with secrets of its own, and a factor that is not kept is made once for several of them.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::Arc;

use stria_core::packing::Packing;
use stria_core::protocol::client::{AnswerClient, Chunks, Memory, Whole};
use stria_core::protocol::frame::{Frame, Kind, MAX_FRAME};
use stria_core::protocol::linear::ClientLinear;
use stria_core::protocol::linear::segment::Segments;
use stria_core::protocol::linear::slot::Slots;
use stria_core::protocol::network::{MAX_BATCH, Network};
use stria_core::protocol::server::{Budget, Server, Tickets};
use stria_core::protocol::steps::{Room, Sender};
use stria_core::protocol::ticket::Deposit;
use stria_core::{Error, TicketError, Usage, loopback};
use stria_host::session::server::{MemoryTickets, TicketLimits};
use stria_tests::frames::control;
use stria_tests::two_party::{Image, Pair, Plain, settings};

use super::ticket_faults::Cut;
use super::tickets::{OWNER, server};
use super::traffic::traffic_of;

/// What the servers here prepare together.
const MOST: u16 = 5;
/// Queries that a session may start.
const QUERIES: u32 = 9;

fn limited(of_client: usize) -> Arc<dyn Tickets> {
    limited_to(TicketLimits {
        of_client,
        ..TicketLimits::default()
    })
}

fn limited_to(limits: TicketLimits) -> Arc<dyn Tickets> {
    Arc::new(MemoryTickets::new(limits).unwrap())
}

/// A session that is set up, whose client may keep so many tickets.
fn session<M: Memory, L: ClientLinear>(
    network: &Arc<Network>,
    h: u8,
    tickets: &Arc<dyn Tickets>,
) -> (Pair<M, L>, Image) {
    let mut pair = Pair::<M, L>::new(network.clone(), settings(4, h), [1, 2]);
    let server = Server::new(
        network.clone(),
        Budget::new(QUERIES),
        &mut stria_tests::rng(2),
    );
    let memory = usize::from(MOST + 1) * network.batch_bytes(M::ROOM) - 1;
    pair.server = server.with_tickets(tickets.clone(), memory);
    let mut image = Image::random(0);
    pair.run(&mut image).unwrap();
    (pair, image)
}

/// Prepares tickets together, and gives them as they are stored.
fn batch<M: Memory, L: ClientLinear>(
    pair: &mut Pair<M, L>,
    image: &mut Image,
    count: u16,
) -> Vec<Vec<u8>> {
    pair.client.prepare_tickets(OWNER, count).unwrap();
    let take = |_| {
        assert!(!pair.client.rests() && pair.client.ticket().is_none());
        pair.run(image).unwrap();
        assert!(pair.client.rests());
        let ticket = pair.client.ticket().unwrap();
        assert!(pair.client.ticket().is_none(), "it was taken");
        ticket.to_bytes().unwrap().to_vec()
    };
    let stored = (0..count).map(take).collect();
    assert!(pair.client.is_ready() && !pair.client.is_prepared());
    stored
}

/// Has the server take a ticket.
fn redeemed<M: Memory, L: ClientLinear>(
    network: &Arc<Network>,
    tickets: &Arc<dyn Tickets>,
    ticket: &[u8],
) -> Result<(AnswerClient<M, L>, Server), Error> {
    let (mut client, mut server) = (AnswerClient::closed(), server(network, tickets, 3));
    super::tickets::redeemed(&mut client, &mut server, ticket)?;
    Ok((client, server))
}

/// Has an image answered with a ticket, and checks every value of the network.
fn answer<M: Memory, L: ClientLinear>(
    plain: &Plain,
    network: &Arc<Network>,
    tickets: &Arc<dyn Tickets>,
    ticket: &[u8],
    seed: u64,
) {
    let (mut client, mut server) = redeemed::<M, L>(network, tickets, ticket).unwrap();
    let (mut image, mut buffer) = (Image::random(seed), [0; MAX_FRAME]);
    client.start().unwrap();
    loopback(&mut (&mut client, &mut image), &mut server, &mut buffer).unwrap();
    let tensors = plain.opened(&image, &server.audit().open(&client).unwrap());
    plain.assert_exact(&tensors, &image.logits, 12);
    // It was paid for when it was prepared.
    assert_eq!(server.counters().queries, 0);
}

/// Two batches and an inference of the session itself, all right to the last bit; and the frames are
/// those of the lists.
fn is_exact<M: Memory, L: ClientLinear>(packing: Packing, memory: usize) {
    let plain = Plain::small();
    let network = plain.packed(packing, memory);
    if memory > 0 {
        network.prepare();
    }
    let tickets = limited(9);
    let (mut pair, mut image) = session::<M, L>(&network, 12, &tickets);
    let counters = pair.server.counters().clone();
    let said = (pair.up.len(), pair.down.len());
    let stored = batch(&mut pair, &mut image, 3);

    // Products are counted for each, factors were made once.
    for (index, after) in pair.server.counters().layers.iter().enumerate() {
        let before = &counters.layers[index];
        let places = (after.inputs - before.inputs) / 3;
        assert_eq!(after.inputs - before.inputs, 3 * places);
        let (products, factors) = (after.operations.products, after.operations.factors);
        assert!(products > 0 && products.is_multiple_of(3));
        match (packing, memory) {
            (Packing::Slot, 0) => assert_eq!(factors, products),
            (_, 0) => assert!(factors <= products / 3, "{factors} for {products}"),
            _ => assert_eq!(factors, 0),
        }
    }
    let mut expected = [Vec::new(), Vec::new()];
    let traffic = traffic_of::<M>(packing, &plain, settings(4, 12));
    traffic.prepare(NonZero::new(3), |_, sender, kind, bytes| {
        expected[usize::from(sender == Sender::Server)].push((kind, bytes));
    });
    let sent = [&pair.up[said.0..], &pair.down[said.1..]].map(|frames| {
        let kind = |frame: &Vec<u8>| (Frame::new_checked(frame).unwrap().kind, frame.len());
        frames.iter().map(kind).collect::<Vec<_>>()
    });
    assert!(sent == expected, "{packing:?}");

    let more = batch(&mut pair, &mut image, 2);
    pair.infer(&mut image).unwrap();
    plain.assert_exact(&pair.open(&plain, &image), &image.logits, 12);
    for (seed, ticket) in [&stored[1], &more[1], &stored[0], &stored[2], &more[0]]
        .into_iter()
        .enumerate()
    {
        answer::<M, L>(&plain, &network, &tickets, ticket, seed as u64);
    }
    assert_eq!(pair.server.counters().queries, 6);
}

#[test]
fn tickets_of_a_batch_are_answered_exactly() {
    is_exact::<Chunks<1>, Segments>(Packing::Segment, 0);
    is_exact::<Whole, Segments>(Packing::Segment, usize::MAX);
    is_exact::<Whole, Segments>(Packing::Coefficient, 0);
    is_exact::<Chunks<2>, Slots>(Packing::Slot, usize::MAX);
    is_exact::<Whole, Slots>(Packing::Slot, 0);
}

/// A ticket that was not taken stands in the way of everything but the end.
#[test]
fn tickets_are_taken_one_by_one() {
    let (network, tickets) = (Plain::tiny().network(), limited(9));
    let (mut pair, mut image) = session::<Whole, Segments>(&network, 8, &tickets);
    let not_ready = Err(Error::Usage(Usage::NotReady));
    let none = Err(Error::Usage(Usage::Batch { most: MOST }));
    // One that waits for its image is not given up for tickets.
    pair.client.prepare().unwrap();
    pair.run(&mut image).unwrap();
    let prepared = Err(Error::Usage(Usage::Prepared));
    assert_eq!(pair.client.prepare_tickets(OWNER, 1), prepared);
    pair.infer(&mut image).unwrap();
    assert_eq!(pair.client.prepare_tickets(OWNER, 0), none);
    assert_eq!(pair.client.prepare_tickets(OWNER, MOST + 1), none);
    pair.client.prepare_tickets(OWNER, 2).unwrap();
    assert_eq!(pair.client.prepare_tickets(OWNER, 1), not_ready);
    for _ in 0..2 {
        pair.run(&mut image).unwrap();
        assert!(pair.client.rests() && !pair.client.is_ready());
        assert_eq!(pair.client.start(), not_ready);
        assert_eq!(pair.client.prepare(), not_ready);
        assert_eq!(pair.client.finish(), not_ready);
    }
    assert!(pair.client.ticket().is_some());
    assert!(!pair.client.rests());
    pair.run(&mut image).unwrap();
    // After the last one it is ready. The next batch gives the last one up.
    assert!(pair.client.is_ready());
    pair.client.prepare_tickets(OWNER, 1).unwrap();
    assert!(pair.client.ticket().is_none());
    pair.run(&mut image).unwrap();
    assert!(pair.client.ticket().is_some());
    pair.client.finish().unwrap();
    pair.run(&mut image).unwrap();
    assert!(pair.client.is_closed() && pair.server.is_closed());
    assert_eq!(pair.client.prepare_tickets(OWNER, 1), not_ready);
}

/// A client with the first ticket of two, and what the server says next.
fn with_a_ticket() -> (Pair<Whole>, Image, Vec<u8>) {
    let (network, tickets) = (Plain::tiny().network(), limited(9));
    let (mut pair, mut image) = session::<Whole, Segments>(&network, 8, &tickets);
    pair.client.prepare_tickets(OWNER, 2).unwrap();
    pair.run(&mut image).unwrap();
    let mut buffer = [0; MAX_FRAME];
    let len = pair.server.poll(&mut buffer).unwrap().unwrap();
    (pair, image, buffer[..len].to_vec())
}

/// Whoever takes a ticket need not poll before the next frame.
#[test]
fn after_a_ticket_the_next_frame_may_come_first() {
    let (mut pair, mut image, next) = with_a_ticket();
    assert!(pair.client.ticket().is_some());
    let frame = Frame::new_checked(&next).unwrap();
    pair.client.handle(&mut image, frame).unwrap();
    pair.run(&mut image).unwrap();
    assert!(pair.client.ticket().is_some());
}

/// What a server sends beside its turn finds a client that has a ticket at rest.
#[test]
fn a_client_that_has_a_ticket_takes_no_frame() {
    let (mut pair, mut image, next) = with_a_ticket();
    let frame = Frame::new_checked(&next).unwrap();
    assert!(pair.client.handle(&mut image, frame).is_err());
    assert!(pair.client.is_closed() && pair.client.ticket().is_none());
}

/// How many fit into a memory; and one always does.
#[test]
fn a_server_says_what_it_has_memory_for() {
    let network = Plain::small().network();
    for room in [Room::Whole, Room::Chunks(1)] {
        let each = network.batch_bytes(room);
        assert!(each > 100_000);
        for (memory, most) in [
            (0, 1),
            (2 * each - 1, 1),
            (2 * each, 2),
            (usize::MAX, MAX_BATCH),
        ] {
            assert_eq!(network.batch(room, memory), most);
        }
    }
}

/// What the deposits of a batch may be: so many as were announced, of one client, within all limits;
/// else nothing of it is charged or prepared.
#[test]
fn deposits_that_are_no_batch_are_refused() {
    let deposit = |following, owner| Deposit {
        following,
        owner,
        lock: [following as u8; 32],
    };
    let other = [8; 32];
    let batch = Err(Error::Malformed("deposit of another batch"));
    let most = |value| {
        Err(Error::Negotiation {
            what: "tickets of a batch",
            value,
        })
    };
    let full = Err(Error::Ticket(TicketError::Full));
    let spent = Err(Error::BudgetSpent);
    /// What comes, tickets that the client may keep, what becomes of it, and queries that are charged.
    type Case<'a> = (&'a [Deposit], usize, Result<(), Error>, u32);
    let cases: [Case<'_>; 10] = [
        (&[deposit(1, OWNER), deposit(0, OWNER)], 9, Ok(()), 2),
        (&[deposit(4, OWNER), deposit(3, OWNER)], 9, Ok(()), 5),
        (&[deposit(1, OWNER), deposit(1, OWNER)], 9, batch, 2),
        (&[deposit(2, OWNER), deposit(0, OWNER)], 9, batch, 3),
        (&[deposit(1, OWNER), deposit(0, other)], 9, batch, 2),
        (&[deposit(5, OWNER)], 9, most(6), 0),
        (&[deposit(u16::MAX, OWNER)], 9, most(1 << 16), 0),
        (&[deposit(3, OWNER)], 3, full, 0),
        (&[deposit(2, OWNER)], 3, Ok(()), 3),
        // Of nine queries three are left.
        (&[deposit(3, OWNER)], 20, spent, 0),
    ];
    let network = Plain::tiny().network();
    for (index, (deposits, of_client, expected, queries)) in cases.into_iter().enumerate() {
        let tickets = limited(of_client);
        let (mut pair, mut image) = session::<Chunks<1>, Segments>(&network, 8, &tickets);
        let before = match expected == spent {
            true => 6,
            false => 0,
        };
        for _ in 0..before {
            self::batch(&mut pair, &mut image, 1);
        }
        let mut told = Ok(());
        for deposit in deposits {
            let bytes = control(Kind::Begin, deposit);
            told = told.and_then(|()| pair.server.handle(Frame::new_checked(&bytes).unwrap()));
        }
        assert_eq!(told, expected, "{index}");
        assert_eq!(pair.server.counters().queries, before + queries, "{index}");
        assert_eq!(pair.server.is_closed(), expected.is_err(), "{index}");
    }
    // The frame of an inference without a ticket is no deposit.
    let (mut pair, _) = session::<Chunks<1>, Segments>(&network, 8, &limited(9));
    let first = control(Kind::Begin, &deposit(1, OWNER));
    let second = control(Kind::Begin, &());
    (pair.server.handle(Frame::new_checked(&first).unwrap())).unwrap();
    let told = pair.server.handle(Frame::new_checked(&second).unwrap());
    assert_eq!(told, Err(Error::Malformed("deposit of another batch")));
}

/// A server that keeps no tickets says so to whoever asks nevertheless.
#[test]
fn a_server_without_tickets_takes_no_deposit() {
    let network = Plain::tiny().network();
    let mut pair = Pair::<Whole>::new(network, settings(4, 8), [1, 2]);
    pair.run(&mut Image::random(0)).unwrap();
    let unsupported = Err(Error::Ticket(TicketError::Unsupported));
    assert_eq!(pair.client.prepare_tickets(OWNER, 1), unsupported);
    let deposit = Deposit {
        following: 0,
        owner: OWNER,
        lock: [1; 32],
    };
    let bytes = control(Kind::Begin, &deposit);
    let told = pair.server.handle(Frame::new_checked(&bytes).unwrap());
    assert_eq!(told, unsupported);
    assert_eq!(pair.server.counters().queries, 0);
}

/// Bytes of all tickets of a batch are looked for before any is prepared.
#[test]
fn a_batch_that_finds_no_space_is_not_begun() {
    let network = Plain::tiny().network();
    let tickets = limited_to(TicketLimits {
        bytes: 20_000,
        ..TicketLimits::default()
    });
    let (mut pair, mut image) = session::<Whole, Segments>(&network, 8, &tickets);
    batch(&mut pair, &mut image, 1);
    pair.client.prepare_tickets(OWNER, 3).unwrap();
    let told = pair.run(&mut image);
    assert_eq!(told, Err(Error::Ticket(TicketError::Full)));
    assert_eq!(pair.server.counters().queries, 1);
}

/// Each ticket has shares of its own: under one image nothing that is sent repeats.
#[test]
fn tickets_of_a_batch_share_no_secret() {
    let (network, tickets) = (Plain::tiny().network(), limited(9));
    let (mut pair, mut image) = session::<Chunks<1>, Segments>(&network, 8, &tickets);
    let (first_up, first_down) = (pair.up.len(), pair.down.len());
    let stored = batch(&mut pair, &mut image, 3);
    // Public keys aside, which are the session's, every frame of residues is a new one.
    let frames = pair.up[first_up..].iter().chain(&pair.down[first_down..]);
    let long: Vec<_> = frames.filter(|frame| frame.len() > 32).collect();
    assert!(long.len() > 100);
    assert_eq!(long.iter().collect::<BTreeSet<_>>().len(), long.len());

    let images = stored.iter().map(|ticket| {
        let (mut client, _) = redeemed::<Chunks<1>, Segments>(&network, &tickets, ticket).unwrap();
        let (mut image, mut buffer) = (Image::random(4), [0; MAX_FRAME]);
        client.start().unwrap();
        let len = client.poll(&mut image, &mut buffer).unwrap().unwrap();
        let frame = Frame::new_checked(&buffer[..len]).unwrap();
        assert_eq!(frame.kind, Kind::Image);
        frame.payload.to_vec()
    });
    let images: BTreeSet<_> = images.collect();
    assert_eq!(images.len(), 3);
}

/// Prepares three tickets over a line that breaks after so many messages: how many were taken. Each of
/// them is good for one answer.
fn taken_before<M: Memory>(network: &Arc<Network>, messages: usize) -> usize {
    let tickets = limited(9);
    let (mut pair, mut image) = session::<M, Segments>(network, 8, &tickets);
    let (mut left, mut buffer, mut taken) = (messages, [0; MAX_FRAME], Vec::new());
    let mut line = Cut {
        server: pair.server,
        left: &mut left,
    };
    pair.client.prepare_tickets(OWNER, 3).unwrap();
    while taken.len() < 3 {
        let client = &mut *pair.client;
        let carried = loopback(&mut (client, &mut image), &mut line, &mut buffer);
        if carried.is_err() {
            assert_eq!(carried, Err(Error::Internal("cut")));
            assert!(pair.client.ticket().is_none());
            break;
        }
        let ticket = pair.client.ticket().unwrap();
        taken.push(ticket.to_bytes().unwrap());
    }
    pair.client.close();
    assert!(pair.client.ticket().is_none());
    for ticket in &taken {
        redeemed::<M, Segments>(network, &tickets, ticket).unwrap();
        let again = redeemed::<M, Segments>(network, &tickets, ticket).err();
        assert_eq!(again, Some(Error::Ticket(TicketError::Unknown)));
    }
    taken.len()
}

fn a_cut_costs_the_rest<M: Memory>() {
    let network = Plain::tiny().network();
    let all = usize::MAX;
    assert_eq!(taken_before::<M>(&network, all), 3);
    let mut taken = Vec::new();
    while taken.last() != Some(&3) {
        taken.push(taken_before::<M>(&network, 97 * taken.len()));
    }
    assert!(taken.is_sorted(), "{taken:?}");
    assert!(taken.len() > 10 && taken[0] == 0, "{taken:?}");
}

#[test]
fn a_line_that_breaks_costs_only_what_was_not_taken() {
    a_cut_costs_the_rest::<Whole>();
    a_cut_costs_the_rest::<Chunks<1>>();
}
