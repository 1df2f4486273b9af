//! A picture on a terminal, beside what was found in it.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use image::RgbImage;
use image::imageops::{self, FilterType};

use crate::report::Guess;

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
pub fn picture(out: &mut impl Write, colours: Colours, seen: &Seen<'_>) -> io::Result<()> {
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
    let thumbnail = thumbnail(seen.pixels, colours);
    if thumbnail.is_empty() {
        for line in text {
            writeln!(out, "{line}")?;
        }
        return Ok(());
    }
    // The text stands in the middle of the picture's height.
    let above = thumbnail.len().saturating_sub(text.len()) / 2;
    for i in 0..thumbnail.len().max(above + text.len()) {
        let blank = " ".repeat(THUMBNAIL as usize);
        let left = thumbnail.get(i).unwrap_or(&blank);
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

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

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
        super::picture(&mut out, Colours::None, &seen).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "03-cat.png  (1.50 s)\n   87.5 %  cat\n  label: cat\n  the plaintext network says dog\n"
        );
        let mut out = Vec::new();
        super::picture(&mut out, Colours::True, &seen).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.lines().count(), 11);
        assert!(out.contains("\x1b[0m    label: cat\n"));
    }
}
