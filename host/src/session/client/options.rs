//! Which client runs, and how it behaves.

use std::time::Duration;

use rand_core::CryptoRng;
use stria_core::packing::Packing;
use stria_core::protocol::client::{Client, SmallClient};
use stria_core::protocol::greeting::Settings;
use stria_core::protocol::linear::ClientLinear;

use crate::transport::Pace;
use crate::transport::serial::DEFAULT_BAUD;

/// Chunks of [`SmallClient`] and of [`LargeClient`].
const SMALL_CHUNKS: usize = 1;
const LARGE_CHUNKS: usize = 57;
const _: fn(SmallClient) -> Client<SMALL_CHUNKS> = |client| client;

/// Works on 14,592 activations at once: most layers of a small network.
pub type LargeClient<L> = Client<LARGE_CHUNKS, L>;

/// A large client. It has hundreds of KiB, of which a thread's stack has no room for many copies: so it
/// is built in one place, out of line, and begins where it stays.
#[inline(never)]
pub fn large<L: ClientLinear>(settings: Settings, rng: &mut impl CryptoRng) -> Box<LargeClient<L>> {
    let mut client = Box::new(Client::closed());
    client.open(settings, rng);
    client
}

/// Which client runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// The one that fits a microcontroller.
    Small,
    /// A desktop's.
    Large,
}

impl Window {
    /// The small one, or else the large one.
    pub fn small_if(small: bool) -> Self {
        match small {
            true => Self::Small,
            false => Self::Large,
        }
    }

    /// Chunks of activations that it holds.
    pub fn chunks(self) -> usize {
        match self {
            Self::Small => SMALL_CHUNKS,
            Self::Large => LARGE_CHUNKS,
        }
    }
}

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
pub struct ClientOptions {
    /// Window of activations.
    pub window: Window,
    /// The server's packing, as far as it makes another client: segment and coefficient packing
    /// have the same.
    pub packing: Packing,
    /// k_s and h.
    pub settings: Settings,
    /// How long the server may stay silent.
    pub timeout: Duration,
    /// Bits a second of a serial line.
    pub baud: u32,
    /// A link to send at the pace of, for measurements.
    pub pace: Option<Pace>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            window: Window::Large,
            packing: Packing::default(),
            settings: Settings {
                labels: true,
                ..Settings::default()
            },
            timeout: Duration::from_secs(120),
            baud: DEFAULT_BAUD,
            pace: None,
        }
    }
}
