//! Which client runs, and how it behaves.

use std::time::Duration;

use stria_core::packing::Packing;
use stria_core::protocol::activation::Store;
use stria_core::protocol::client::{Chunks, Whole};
use stria_core::protocol::greeting::Settings;
use stria_core::protocol::steps::Room;

use crate::transport::Pace;
use crate::transport::serial::DEFAULT_BAUD;

/// Which client runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// The one that fits a microcontroller: the server keeps its records.
    Small,
    /// A desktop's, which keeps them.
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

    /// What it has room for.
    pub fn room(self) -> Room {
        match self {
            Self::Small => Chunks::<1>::ROOM,
            Self::Large => Whole::ROOM,
        }
    }
}

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
pub struct ClientOptions {
    /// How much it has room for.
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
