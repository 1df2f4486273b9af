//! What a person sees on a terminal: thumbnails, classes and cost tables.

pub mod bench;
pub mod costs;

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use ::image::RgbImage;
use ::image::imageops::{self, FilterType};

use crate::report::{DemoReport, Guess, InferReport, InspectReport};

/// Side of a thumbnail in pixels; a character shows two, one above the other.
const THUMBNAIL: u32 = 20;

/// How many colours the terminal shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Colours {
    /// None: no thumbnails.
    None,
    /// The 256-colour palette.
    Palette,
    /// 24 bits a pixel.
    True,
}

impl Colours {
    /// What standard output can show, by `NO_COLOR`, `COLORTERM` and `TERM`.
    pub fn of_stdout() -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        if !io::stdout().is_terminal() || !variable("NO_COLOR").is_empty() {
            return Self::None;
        }
        Self::of_terminal(&variable("COLORTERM"), &variable("TERM"))
    }

    fn of_terminal(colorterm: &str, term: &str) -> Self {
        if matches!(colorterm, "truecolor" | "24bit") || term.contains("direct") {
            Self::True
        } else if term.contains("256color") {
            Self::Palette
        } else {
            Self::None
        }
    }
}

/// An image and what was found in it.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// File name.
    pub name: &'a str,
    /// The pixels that the network sees.
    pub pixels: &'a RgbImage,
    /// The most likely classes, most likely first.
    pub top: &'a [Guess],
    /// True class, where it is known.
    pub label: Option<&'a str>,
    /// Most likely class by the plaintext reference, where it was run.
    pub reference: Option<&'a str>,
    /// Seconds of this inference.
    pub seconds: f64,
}

/// Shows one image: its thumbnail, if the terminal can, beside its name and top classes.
pub fn image(out: &mut impl Write, colours: Colours, seen: &Seen<'_>) -> io::Result<()> {
    let mut text = vec![format!("{}  ({:.2} s)", seen.name, seen.seconds)];
    for guess in seen.top {
        let percent = 100.0 * guess.probability;
        text.push(format!("  {percent:5.1} %  {}", guess.class));
    }
    if let Some(label) = seen.label {
        text.push(format!("  label: {label}"));
    }
    if let (Some(reference), Some(first)) = (seen.reference, seen.top.first()) {
        text.push(if reference == first.class {
            "  the plaintext network agrees".into()
        } else {
            format!("  the plaintext network says {reference}")
        });
    }
    let picture = thumbnail(seen.pixels, colours);
    if picture.is_empty() {
        for line in text {
            writeln!(out, "{line}")?;
        }
        return Ok(());
    }
    // The text stands in the middle of the picture's height.
    let above = picture.len().saturating_sub(text.len()) / 2;
    for i in 0..picture.len().max(above + text.len()) {
        let blank = " ".repeat(THUMBNAIL as usize);
        let left = picture.get(i).unwrap_or(&blank);
        let right = i.checked_sub(above).and_then(|i| text.get(i));
        writeln!(out, "{left}  {}", right.map_or("", |line| line))?;
    }
    writeln!(out)
}

/// Lines of half blocks; none where the terminal has no colours.
pub fn thumbnail(pixels: &RgbImage, colours: Colours) -> Vec<String> {
    if colours == Colours::None || pixels.is_empty() {
        return Vec::new();
    }
    let small = imageops::resize(pixels, THUMBNAIL, THUMBNAIL, FilterType::Triangle);
    let line = |row: u32| {
        let mut line = String::new();
        for col in 0..THUMBNAIL {
            let colour = |row| colour(small.get_pixel(col, row).0, colours);
            // The upper half has the foreground colour, the lower half the background's.
            let (upper, lower) = (colour(row), colour(row + 1));
            let _ = write!(line, "\x1b[38;{upper};48;{lower}m\u{2580}");
        }
        line + "\x1b[0m"
    };
    (0..THUMBNAIL).step_by(2).map(line).collect()
}

/// The colour's part of an SGR sequence.
fn colour([r, g, b]: [u8; 3], colours: Colours) -> String {
    if colours == Colours::True {
        return format!("2;{r};{g};{b}");
    }
    // The 6 x 6 x 6 cube of the palette has the levels 0, 95, 135, 175, 215, 255.
    let level = |v: u8| match v {
        0..48 => 0u32,
        48..115 => 1,
        _ => (u32::from(v) - 35) / 40,
    };
    format!("5;{}", 16 + 36 * level(r) + 6 * level(g) + level(b))
}

/// Shows what the demo's inferences cost and how well the two executors agree.
pub fn demo_costs(out: &mut impl Write, report: &DemoReport) -> io::Result<()> {
    let images = report.images.len();
    let right = |classes: &[String]| {
        let pairs = classes.iter().zip(&report.labels);
        pairs
            .filter(|(class, label)| Some(*class) == label.as_ref())
            .count()
    };
    let labelled = report.labels.iter().flatten().count();
    let error = report
        .layers
        .iter()
        .map(|layer| layer.max_error_units)
        .max();
    let traffic = report.bytes_up + report.bytes_down;
    let mut rows = vec![(
        "secure = plaintext".into(),
        format!("{} of {images} images", report.agree),
    )];
    if labelled > 0 {
        rows.push((
            "right".into(),
            format!(
                "{} of {labelled}, plaintext {}",
                right(&report.secure_top1),
                right(&report.reference_top1)
            ),
        ));
    }
    rows.extend([
        (
            "largest error".into(),
            format!("{} units", error.unwrap_or(0)),
        ),
        (
            "seconds".into(),
            format!(
                "{:.2} an image, {:.2} set-up",
                report.seconds_per_image, report.seconds_setup
            ),
        ),
        (
            "traffic".into(),
            format!(
                "{} up, {} down an image, {} set-up",
                bytes(report.bytes_up),
                bytes(report.bytes_down),
                bytes(report.bytes_setup)
            ),
        ),
        (
            "activations".into(),
            format!(
                "{}, {:.1} bytes each",
                report.activations,
                traffic as f64 / report.activations.max(1) as f64
            ),
        ),
        ("client state".into(), bytes(report.client_state_bytes)),
        (
            "rotations".into(),
            match report.rotations {
                0 => format!("0, {} of Galois keys", bytes(report.galois_key_bytes)),
                all => format!(
                    "{all} an image ({} internal, {} external), {} of Galois keys",
                    report.internal_rotations,
                    report.external_rotations,
                    bytes(report.galois_key_bytes)
                ),
            },
        ),
        (
            "security".into(),
            format!(
                "N = {}, log2 q = {:.2}, t = {}, flood 2^{}",
                report.security.n,
                report.security.log2_q,
                report.security.t,
                report.security.flood_bits
            ),
        ),
    ]);
    pairs(out, &rows)
}

/// Shows what a client's inferences cost.
pub fn infer_costs(out: &mut impl Write, report: &InferReport) -> io::Result<()> {
    let count = report.images.len().max(1) as u64;
    let seconds: f64 = report.images.iter().map(|image| image.seconds).sum();
    let up: u64 = report.images.iter().map(|image| image.bytes_up).sum();
    let down: u64 = report.images.iter().map(|image| image.bytes_down).sum();
    pairs(
        out,
        &[
            (
                "seconds".into(),
                format!(
                    "{:.2} an image, {:.2} set-up",
                    seconds / count as f64,
                    report.seconds_setup
                ),
            ),
            (
                "traffic".into(),
                format!(
                    "{} up, {} down an image, {} set-up",
                    bytes(up / count),
                    bytes(down / count),
                    bytes(report.bytes_setup)
                ),
            ),
        ],
    )
}

/// Shows a model, a line a layer.
pub fn model(out: &mut impl Write, report: &InspectReport) -> io::Result<()> {
    let shape = |[c, h, w]: [usize; 3]| format!("{c}x{h}x{w}");
    let header = [
        "layer",
        "reads",
        "shape",
        "kernel",
        "groups",
        "r",
        "d",
        "g",
        "in",
        "out",
        "up",
        "down",
        "ReLUs",
        "weights",
        "worst |y|",
        "bound",
    ];
    let mut rows = vec![header.map(String::from).to_vec()];
    for layer in &report.layers {
        let bound = layer.bound;
        rows.push(vec![
            layer.name.clone(),
            layer.input.clone(),
            shape(layer.output_shape),
            layer.kernel.clone(),
            layer.groups.to_string(),
            layer.repeat.to_string(),
            layer.depth.to_string(),
            layer.g.to_string(),
            layer.input_ciphertexts.to_string(),
            layer.output_ciphertexts.to_string(),
            bytes(layer.bytes_up as u64),
            bytes(layer.bytes_down as u64),
            layer.activations.to_string(),
            layer.parameters.to_string(),
            bound.worst.high.max(-bound.worst.low).to_string(),
            match (bound.evidence, bound.max_abs) {
                (crate::model::Evidence::Calibrated, Some(max)) => format!("calibrated {max}"),
                _ => "proved".into(),
            },
        ]);
    }
    table(out, &rows)?;
    writeln!(out)?;
    pairs(
        out,
        &[
            ("network".into(), report.name.clone()),
            ("input".into(), shape(report.input)),
            ("classes".into(), report.classes.join(", ")),
            ("activations".into(), report.activations.to_string()),
            ("parameters".into(), report.parameters.to_string()),
            (
                "ciphertexts".into(),
                format!(
                    "{} up ({}), {} down ({})",
                    report.input_ciphertexts,
                    bytes(report.bytes_up as u64),
                    report.output_ciphertexts,
                    bytes(report.bytes_down as u64)
                ),
            ),
        ],
    )
}

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

fn pairs(out: &mut impl Write, rows: &[(String, String)]) -> io::Result<()> {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in rows {
        writeln!(out, "{name:width$}  {value}")?;
    }
    Ok(())
}

/// Columns as wide as their widest cell; the first two to the left, the others to the right.
fn table(out: &mut impl Write, rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max();
    let widths: Vec<usize> = (0..columns).filter_map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (i, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let _ = match i {
                0 | 1 => write!(line, "{cell:width$}  "),
                _ => write!(line, "{cell:>width$}  "),
            };
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::Rgb;

    #[test]
    fn terminals_say_what_they_can() {
        assert_eq!(Colours::of_terminal("truecolor", "xterm"), Colours::True);
        assert_eq!(Colours::of_terminal("", "xterm-256color"), Colours::Palette);
        assert_eq!(Colours::of_terminal("", "dumb"), Colours::None);
    }

    #[test]
    fn thumbnails_put_two_pixels_in_a_character() {
        let picture = RgbImage::from_pixel(31, 31, Rgb([255, 0, 95]));
        assert!(thumbnail(&picture, Colours::None).is_empty());
        let lines = thumbnail(&picture, Colours::True);
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[0].matches('\u{2580}').count(), 20);
        assert!(lines[9].starts_with("\x1b[38;2;255;0;95;48;2;255;0;95m"));
        let lines = thumbnail(&picture, Colours::Palette);
        assert!(lines[0].starts_with("\x1b[38;5;197;48;5;197m"));
    }

    #[test]
    fn an_image_without_colours_is_plain_text() {
        let picture = RgbImage::new(31, 31);
        let top = [Guess {
            class: "cat".into(),
            probability: 0.875,
        }];
        let seen = Seen {
            name: "03-cat.png",
            pixels: &picture,
            top: &top,
            label: Some("cat"),
            reference: Some("dog"),
            seconds: 1.5,
        };
        let mut out = Vec::new();
        image(&mut out, Colours::None, &seen).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "03-cat.png  (1.50 s)\n   87.5 %  cat\n  label: cat\n  the plaintext network says dog\n"
        );
        let mut out = Vec::new();
        image(&mut out, Colours::True, &seen).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.lines().count(), 11);
        assert!(out.contains("\x1b[0m    label: cat\n"));
    }

    #[test]
    fn bytes_have_units() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 20), "3.0 MiB");
        assert_eq!(bytes(u64::MAX), "17179869184.0 GiB");
    }

    #[test]
    fn the_demo_tells_its_costs() {
        let report = DemoReport {
            images: ["a", "b"].map(String::from).to_vec(),
            secure_top1: ["cat", "dog"].map(String::from).to_vec(),
            reference_top1: ["cat", "cat"].map(String::from).to_vec(),
            labels: vec![Some("dog".into()), Some("dog".into())],
            agree: 1,
            layers: Vec::new(),
            packing: "segment",
            rotations: 0,
            internal_rotations: 0,
            external_rotations: 0,
            key_switches: 0,
            galois_key_bytes: 0,
            activations: 1000,
            bytes_up: 70_000,
            bytes_down: 30_000,
            bytes_setup: 2048,
            seconds_setup: 0.25,
            seconds_per_image: 1.5,
            client_state_bytes: 51_200,
            security: crate::report::Security::of(stria_core::packing::Packing::Segment),
        };
        let mut out = Vec::new();
        demo_costs(&mut out, &report).unwrap();
        let out = String::from_utf8(out).unwrap();
        for line in [
            "secure = plaintext  1 of 2 images\n",
            "right               1 of 2, plaintext 0\n",
            "seconds             1.50 an image, 0.25 set-up\n",
            "traffic             68.4 KiB up, 29.3 KiB down an image, 2.0 KiB set-up\n",
            "activations         1000, 100.0 bytes each\n",
            "client state        50.0 KiB\n",
            "security            N = 4096, log2 q = 105.98, t = 7340033, flood 2^78\n",
        ] {
            assert!(out.contains(line), "{out} lacks {line}");
        }
    }
}
