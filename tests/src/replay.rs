//! One party alone, fed with the frames of a recorded session, so that a test can bring it to any
//! message of the protocol and then be its wrong peer.

use std::marker::PhantomData;
use std::sync::{Arc, LazyLock};

use stria_core::Error;
use stria_core::network::layer::Activation;
use stria_core::packing::Packing;
use stria_core::protocol::client::{Chunks, Client};
use stria_core::protocol::frame::{Frame, Kind, MAX_FRAME};
use stria_core::protocol::greeting::Settings;
use stria_core::protocol::linear::ClientLinear;
use stria_core::protocol::linear::segment::Segments;
use stria_core::protocol::linear::slot::Slots;
use stria_core::protocol::network::Network;
use stria_core::protocol::server::{Budget, Server};

use crate::frames::frame;
use crate::rng;
use crate::two_party::{Image, Pair, Plain, settings};

/// Which party.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The client, which gets the server's frames.
    Client,
    /// The server.
    Server,
}

/// A whole session of one inference, with the client of the smallest window.
pub struct Recording<L: ClientLinear = Segments> {
    network: Arc<Network>,
    settings: Settings,
    seeds: [u64; 2],
    /// Frames that the client sent.
    pub up: Vec<Vec<u8>>,
    /// Frames that the server sent.
    pub down: Vec<Vec<u8>>,
    client: PhantomData<fn() -> L>,
}

impl Recording {
    /// The tiny network with k_s = 4 and h = 8, from greeting to goodbye; recorded once.
    pub fn tiny() -> &'static Self {
        static TINY: LazyLock<Recording> =
            LazyLock::new(|| Recording::record(&Plain::tiny(), Packing::Segment));
        &TINY
    }

    /// The same without a ReLU.
    pub fn linear() -> &'static Self {
        static LINEAR: LazyLock<Recording> = LazyLock::new(|| {
            let mut plain = Plain::tiny();
            plain.layers[0].0.activation = Activation::Linear;
            Recording::record(&plain, Packing::Segment)
        });
        &LINEAR
    }
}

impl Recording<Slots> {
    /// The same in slot packing.
    pub fn slots() -> &'static Self {
        static SLOTS: LazyLock<Recording<Slots>> =
            LazyLock::new(|| Recording::record(&Plain::tiny(), Packing::Slot));
        &SLOTS
    }
}

impl<L: ClientLinear> Recording<L> {
    fn record(plain: &Plain, packing: Packing) -> Self {
        let (settings, seeds) = (settings(4, 8), [11, 12]);
        let network = plain.packed(packing, usize::MAX);
        let mut pair = Pair::<Chunks<1>, L>::new(network.clone(), settings, seeds);
        let mut image = Image::random(5);
        pair.run(&mut image).unwrap();
        pair.infer(&mut image).unwrap();
        pair.client.finish().unwrap();
        pair.run(&mut image).unwrap();
        Self {
            network,
            settings,
            seeds,
            up: pair.up,
            down: pair.down,
            client: PhantomData,
        }
    }

    /// The frames that a party gets.
    pub fn frames(&self, side: Side) -> &[Vec<u8>] {
        match side {
            Side::Client => &self.down,
            Side::Server => &self.up,
        }
    }

    /// Places of the first, second and last frame of a kind among those that a party gets.
    pub fn places(&self, side: Side, kind: Kind) -> Vec<usize> {
        let frames = self.frames(side).iter().enumerate();
        let of_kind = frames.filter(|(_, frame)| frame[0] == kind as u8);
        let all: Vec<usize> = of_kind.map(|(i, _)| i).collect();
        let mut places: Vec<usize> = all.iter().take(2).chain(all.last()).copied().collect();
        places.dedup();
        places
    }

    /// A party that has got `count` frames and waits for the next.
    pub fn party(&self, side: Side, count: usize) -> Party<L> {
        let mut party = match side {
            Side::Client => {
                let client = Client::<Chunks<1>, L>::new(self.settings, &mut rng(self.seeds[0]));
                Party::Client(Box::new(client), Image::random(5))
            }
            Side::Server => Party::Server(Box::new(Server::new(
                self.network.clone(),
                Budget::new(3),
                &mut rng(self.seeds[1]),
            ))),
        };
        party.settle().unwrap();
        for frame in &self.frames(side)[..count] {
            party.take(frame).unwrap();
            party.settle().unwrap();
        }
        party
    }
}

/// One of the two state machines.
pub enum Party<L: ClientLinear = Segments> {
    /// With its image.
    Client(Box<Client<Chunks<1>, L>>, Image),
    /// Without.
    Server(Box<Server>),
}

impl<L: ClientLinear> Party<L> {
    /// Its next frame's length, if it has the word.
    pub fn poll(&mut self) -> Result<Option<usize>, Error> {
        let mut buffer = [0; MAX_FRAME];
        match self {
            Party::Client(client, image) => client.poll(image, &mut buffer),
            Party::Server(server) => server.poll(&mut buffer),
        }
    }

    /// Lets it send all that it has to; a client that is ready starts its next inference.
    pub fn settle(&mut self) -> Result<(), Error> {
        while self.poll()?.is_some() {}
        if let Party::Client(client, image) = self
            && client.is_ready()
        {
            image.logits.clear();
            client.start()?;
            while self.poll()?.is_some() {}
        }
        Ok(())
    }

    /// Gives it a frame as it came over the wire.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let frame = Frame::new_checked(bytes)?;
        match self {
            Party::Client(client, image) => client.handle(image, frame),
            Party::Server(server) => server.handle(frame),
        }
    }

    /// See the party's own.
    pub fn is_ready(&self) -> bool {
        match self {
            Party::Client(client, _) => client.is_ready(),
            Party::Server(server) => server.is_ready(),
        }
    }

    /// See the party's own.
    pub fn is_closed(&self) -> bool {
        match self {
            Party::Client(client, _) => client.is_closed(),
            Party::Server(server) => server.is_closed(),
        }
    }

    /// Asserts that the session is over for it: it says nothing, takes nothing, starts nothing.
    pub fn assert_dead(&mut self) {
        let closed = match self {
            Party::Client(client, _) => client.is_closed() && client.start().is_err(),
            Party::Server(server) => server.is_closed(),
        };
        assert!(closed && !self.is_ready(), "the session goes on");
        assert_eq!(self.poll(), Ok(None));
        assert!(self.take(&frame(Kind::Begin, &[])).is_err());
        assert!(self.take(&frame(Kind::Hello, &[])).is_err());
        assert_eq!(self.poll(), Ok(None));
    }
}
