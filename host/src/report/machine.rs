//! The machine that this runs on, as far as Linux tells; elsewhere nothing is known.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// A machine that held both parties.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Model name of the processor, where the system tells it.
    pub processor: Option<String>,
    /// Cores that client and server share.
    pub cores: usize,
    /// Bytes of memory, where the system tells it.
    pub memory_bytes: Option<u64>,
}

impl Machine {
    /// The one that this runs on.
    pub fn this() -> Self {
        Self {
            processor: field("/proc/cpuinfo", "model name").map(|name| name.trim().into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory(),
        }
    }
}

fn memory() -> Option<u64> {
    kibibytes(&field("/proc/meminfo", "MemTotal")?)
}

/// Most bytes of memory that this process had resident so far.
pub fn peak_memory() -> Option<u64> {
    kibibytes(&field("/proc/self/status", "VmHWM")?)
}

/// What follows "NAME:" in a file of such lines.
fn field(path: impl AsRef<Path>, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(key, _)| key.trim() == name)?;
    Some(value.into())
}

/// Bytes of a value like "  1234 kB".
fn kibibytes(value: &str) -> Option<u64> {
    let number = value.trim().strip_suffix("kB")?.trim();
    number.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kibibytes() {
        assert_eq!(kibibytes("\t  1234 kB"), Some(1234 * 1024));
        assert_eq!(kibibytes("1234"), None);
        assert_eq!(kibibytes("much kB"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_takes_memory() {
        let peak = peak_memory().unwrap();
        assert!((1 << 20..memory().unwrap()).contains(&peak), "{peak}");
        assert_eq!(field("/proc/self/status", "NoSuchField"), None);
    }
}
