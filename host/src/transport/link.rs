//! Links: how fast bytes go, and how long an answer takes.

use std::ops::RangeInclusive;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A line between client and server, the same in both directions.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkSpeed {
    /// Its name.
    pub name: String,
    /// Bits a second, each way.
    pub bits_per_second: f64,
    /// Milliseconds from a message to its answer, without the time to send either.
    pub round_trip_ms: f64,
}

/// Names of the links that are known.
pub const NAMES: [&str; 5] = ["lan", "wan", "usb", "uart", "loopback"];

/// Bits that a serial line takes for a byte: start, eight, stop.
const SERIAL_BITS: f64 = 10.0;

/// Why a link cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkFileError {
    /// No link of that name.
    #[error("there is no link \"{name}\": it must be one of {}", NAMES.join(", "))]
    Unknown {
        /// The name.
        name: String,
    },
    /// The file cannot be read.
    #[error("cannot read the link file")]
    Read(#[from] std::io::Error),
    /// The file is not what it should be.
    #[error(
        "a link file is JSON like {{\"name\": \"usb\", \"bits_per_second\": 8e6, \"round_trip_ms\": 1}}"
    )]
    Json(#[from] serde_json::Error),
    /// Numbers that no link has.
    #[error("a link needs bits_per_second from 1 to 1e15 and round_trip_ms from 0 to 3600000")]
    Numbers,
}

/// Bits a second that a link may have.
const RATES: RangeInclusive<f64> = 1.0..=1e15;
/// Milliseconds that a round trip may take.
const ROUND_TRIPS: RangeInclusive<f64> = 0.0..=3.6e6;

impl LinkSpeed {
    /// A link by its name.
    pub fn named(name: &str) -> Result<Self, LinkFileError> {
        let (bits_per_second, round_trip_ms) = match name {
            // As in the artifact of Cheetah.
            "lan" => (3e9, 0.3),
            "wan" => (400e6, 40.0),
            "usb" => (8e6, 1.0),
            "uart" => (921_600.0 * 8.0 / SERIAL_BITS, 1.0),
            "loopback" => return Ok(Self::loopback()),
            _ => return Err(LinkFileError::Unknown { name: name.into() }),
        };
        Ok(Self {
            name: name.into(),
            bits_per_second,
            round_trip_ms,
        })
    }

    /// Both parties on one machine, where only work counts.
    pub fn loopback() -> Self {
        Self {
            name: "loopback".into(),
            bits_per_second: 20e9,
            round_trip_ms: 0.05,
        }
    }

    /// Reads a link from a JSON file.
    pub fn load(path: &Path) -> Result<Self, LinkFileError> {
        let link: Self = serde_json::from_slice(&std::fs::read(path)?)?;
        match RATES.contains(&link.bits_per_second) && ROUND_TRIPS.contains(&link.round_trip_ms) {
            true => Ok(link),
            false => Err(LinkFileError::Numbers),
        }
    }

    /// Seconds from a message to its answer.
    pub fn round_trip_seconds(&self) -> f64 {
        self.round_trip_ms / 1e3
    }

    /// Seconds to send so many bytes.
    pub fn seconds(&self, bytes: usize) -> f64 {
        8.0 * bytes as f64 / self.bits_per_second
    }

    /// Seconds of a stream of frames on which the line and both sides work at the same time: the
    /// slowest of them sets the pace.
    pub fn overlapped(&self, bytes: usize, work: &[f64]) -> f64 {
        work.iter().copied().fold(self.seconds(bytes), f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(bits_per_second: &str, round_trip_ms: &str) -> Result<LinkSpeed, LinkFileError> {
        let numbers = format!("{bits_per_second}-{round_trip_ms}-{}", std::process::id());
        let path = std::env::temp_dir().join(format!("stria-link-{numbers}.json"));
        let text = format!(
            r#"{{"name": "a", "bits_per_second": {bits_per_second}, "round_trip_ms": {round_trip_ms}}}"#
        );
        std::fs::write(&path, text).unwrap();
        let link = LinkSpeed::load(&path);
        std::fs::remove_file(&path).unwrap();
        link
    }

    #[test]
    fn numbers_that_no_link_has_are_refused() {
        for (rate, wait) in [("1", "0"), ("1e15", "3.6e6"), ("8e6", "-0.0")] {
            assert!(load(rate, wait).is_ok(), "{rate} {wait}");
        }
        for (rate, wait) in [
            ("8e6", "1e300"),
            ("8e6", "3600001"),
            ("8e6", "-1"),
            ("0", "1"),
            ("-8e6", "1"),
            ("1e-300", "1"),
            ("1e300", "1"),
        ] {
            let error = load(rate, wait).unwrap_err();
            assert!(matches!(error, LinkFileError::Numbers), "{error}");
        }
        // Infinite, and no number at all.
        for (rate, wait) in [
            ("1e400", "1"),
            ("8e6", "1e400"),
            ("NaN", "1"),
            ("8e6", "null"),
        ] {
            let error = load(rate, wait).unwrap_err();
            assert!(matches!(error, LinkFileError::Json(_)), "{error}");
        }
    }
}
