//! Tickets when something goes wrong (`core/docs/design.md#tickets`): a line that breaks, two that redeem
//! at once, and damaged bytes. None gives a second answer.

use std::thread;

use stria_core::protocol::client::{AnswerClient, Chunks, Client, Ticket, Whole};
use stria_core::protocol::frame::{Frame, FrameBuf, Kind, MAX_FRAME};
use stria_core::protocol::greeting::write_control;
use stria_core::protocol::linear::segment::Segments;
use stria_core::protocol::linear::slot::Slots;
use stria_core::protocol::server::Server;
use stria_core::{Error, Party, TicketError, loopback};
use stria_tests::rng;
use stria_tests::two_party::{Image, Plain, settings};

use super::tickets::{Folder, OWNER, memory, prepared, redeemed, server};

#[test]
fn of_two_redemptions_at_once_one_wins() {
    let folder = Folder::new("race");
    let network = Plain::tiny().network();
    for tickets in [memory(), folder.open(&network)] {
        let stored = prepared::<Chunks<1>, Segments>(&network, &tickets, 8, 4).unwrap();
        for ticket in &stored {
            let redeem = || {
                let mut client: AnswerClient<Chunks<1>> = AnswerClient::closed();
                redeemed(&mut client, &mut server(&network, &tickets, 3), ticket)
            };
            let results = thread::scope(|scope| {
                let threads = [(); 3].map(|()| scope.spawn(redeem));
                threads.map(|thread| thread.join().unwrap())
            });
            let won = results.iter().filter(|result| result.is_ok()).count();
            let lost = Err(Error::Ticket(TicketError::Unknown));
            assert_eq!(won, 1);
            assert!(
                results
                    .iter()
                    .all(|result| result.is_ok() || *result == lost)
            );
        }
    }
}

#[test]
fn a_damaged_ticket_is_refused() {
    let (network, tickets) = (Plain::tiny().network(), memory());
    let stored = prepared::<Whole, Segments>(&network, &tickets, 8, 1).unwrap();
    let ticket = &stored[0];
    let damaged = Some(Error::Malformed("ticket"));
    for at in (0..ticket.len()).step_by(ticket.len() / 50) {
        let mut other = ticket.clone();
        other[at] ^= 0x10;
        assert_eq!(Ticket::<Whole>::read(&other).err(), damaged);
        assert_eq!(Ticket::<Whole>::read(&ticket[..at]).err(), damaged);
    }
    // One of another client's kind.
    assert_eq!(Ticket::<Chunks<1>>::read(ticket).err(), damaged);
    let other = AnswerClient::<Whole, Slots>::closed().redeem(Ticket::read(ticket).unwrap());
    assert!(matches!(other, Err(Error::ParameterSet { .. })));
    // A server that says that it has taken something else, or nothing.
    for kind in [Kind::Welcome, Kind::Prepared, Kind::Layer] {
        let mut client: AnswerClient<Whole> = AnswerClient::closed();
        client.redeem(Ticket::read(ticket).unwrap()).unwrap();
        let (mut image, mut buffer) = (Image::random(0), [0; MAX_FRAME]);
        client.poll(&mut image, &mut buffer).unwrap();
        let len = write_control(&mut buffer, kind, &()).unwrap();
        let frame = Frame::new_checked(&buffer[..len]).unwrap();
        assert!(client.handle(&mut image, frame).is_err());
        assert!(client.is_closed() && client.start().is_err());
    }
}

/// A server at the end of a line that breaks after so many messages, of both ways together.
pub struct Cut<'a> {
    pub server: Server,
    pub left: &'a mut usize,
}

impl Cut<'_> {
    fn arrives(&mut self) -> Result<(), Error> {
        *self.left = self.left.checked_sub(1).ok_or(Error::Internal("cut"))?;
        Ok(())
    }
}

impl Party for Cut<'_> {
    fn poll(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        let len = self.server.poll(out)?;
        if len.is_some() {
            self.arrives()?;
        }
        Ok(len)
    }
    fn handle(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        self.arrives()?;
        self.server.handle(frame)
    }
    fn rests(&self) -> bool {
        self.server.is_closed()
    }
    fn close(&mut self) {
        self.server.close();
    }
}

/// What became of an inference by ticket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Outcome {
    /// The client got no ticket.
    NotPrepared,
    /// It had one that was still good after the cut.
    Kept,
    /// It had one, and the server has no other half any more.
    Dead,
    Answered,
}

fn cut_after(messages: usize) -> Outcome {
    let (network, tickets) = (Plain::tiny().network(), memory());
    let mut client: Client<Chunks<1>> = Client::new(settings(4, 8), &mut rng(1));
    let mut preparing = server(&network, &tickets, 2);
    let (mut image, mut buffer) = (Image::random(0), [0; MAX_FRAME]);
    loopback(&mut (&mut client, &mut image), &mut preparing, &mut buffer).unwrap();

    let (mut left, cut) = (messages, Err(Error::Internal("cut")));
    client.prepare_tickets(OWNER, 1).unwrap();
    let mut line = Cut {
        server: preparing,
        left: &mut left,
    };
    let prepared = loopback(&mut (&mut client, &mut image), &mut line, &mut buffer);
    let Some(ticket) = client.ticket() else {
        assert_eq!(prepared, cut);
        return Outcome::NotPrepared;
    };
    assert_eq!(prepared, Ok(()));
    let stored = ticket.to_bytes().unwrap();

    let mut client: AnswerClient<Chunks<1>> = AnswerClient::closed();
    client.redeem(Ticket::read(&stored).unwrap()).unwrap();
    let mut line = Cut {
        server: server(&network, &tickets, 3),
        left: &mut left,
    };
    let redeemed_first = loopback(&mut (&mut client, &mut image), &mut line, &mut buffer);
    if redeemed_first.is_ok() {
        client.start().unwrap();
        let answered = loopback(&mut (&mut client, &mut image), &mut line, &mut buffer);
        assert_eq!(answered.is_ok(), !image.logits.is_empty());
        // Even a client that did not spend its half gets nothing more.
        let again = redeemed(
            &mut AnswerClient::<Chunks<1>>::closed(),
            &mut server(&network, &tickets, 4),
            &stored,
        );
        assert_eq!(again, Err(Error::Ticket(TicketError::Unknown)));
        return if answered.is_ok() {
            Outcome::Answered
        } else {
            Outcome::Dead
        };
    }
    assert_eq!(redeemed_first, cut);
    let mut again = server(&network, &tickets, 4);
    client.close();
    match redeemed(&mut client, &mut again, &stored) {
        Ok(()) => Outcome::Kept,
        told => {
            assert_eq!(told, Err(Error::Ticket(TicketError::Unknown)));
            Outcome::Dead
        }
    }
}

/// Wherever the line breaks, the ticket is answered once, still good, or dead.
#[test]
fn a_cut_line_gives_no_second_answer() {
    let mut outcomes = Vec::new();
    while outcomes.last() != Some(&Outcome::Answered) {
        outcomes.push(cut_after(outcomes.len()));
    }
    assert!(outcomes.is_sorted(), "{outcomes:?}");
    // `Redeem` is the one message whose loss leaves the ticket good.
    let count = |outcome| outcomes.iter().filter(|&&other| other == outcome).count();
    assert_eq!(count(Outcome::Kept), 1);
    assert!(
        count(Outcome::NotPrepared) > 10 && count(Outcome::Dead) > 10,
        "{outcomes:?}"
    );
}
