//! Numbers as people write them.

/// A number of bytes with three significant digits or so.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{count} B"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

/// Seconds with three significant digits or so.
pub(super) fn seconds(value: f64) -> String {
    format!("{} s", short(value))
}

/// A number with three significant digits or so.
pub(super) fn short(value: f64) -> String {
    let digits = match value {
        ..0.1 => 4,
        ..1.0 => 3,
        ..10.0 => 2,
        ..100.0 => 1,
        1e3.. => return count(value.round() as u64),
        _ => 0,
    };
    format!("{value:.digits$}")
}

/// A count with commas between thousands.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 20), "3.0 MiB");
        assert_eq!(bytes(u64::MAX), "17179869184.0 GiB");
    }

    #[test]
    fn numbers_are_written_for_people() {
        let counts = [0, 999, 1000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
        let times = [0.0, 0.0123, 0.5, 7.654, 76.54, 765.4, 7654.0].map(short);
        let expected = ["0.0000", "0.0123", "0.500", "7.65", "76.5", "765", "7,654"];
        assert_eq!(times, expected);
    }
}
