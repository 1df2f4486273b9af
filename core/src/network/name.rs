//! Names that people read: what a model file or a peer calls a network, a class or a layer must not give orders to a terminal.
//! Such a name with another character is refused; text that cites unchecked names is printed through [`Shown`].

use core::fmt::{self, Display, Write};

/// Characters of the categories Cf, Zl and Zp of Unicode 16.0 (`extracted/DerivedGeneralCategory.txt`),
/// first and last of each run: they reorder, hide or break a line. A test compares them with another
/// table of the same version.
const INVISIBLE: [(char, char); 21] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];

/// Whether a character is neither a control (category Cc) nor of the categories Cf, Zl and Zp.
fn is_shown(character: char) -> bool {
    let inside = |&(first, last): &(char, char)| (first..=last).contains(&character);
    !character.is_control() && !INVISIBLE.iter().any(inside)
}

/// Whether a name may be shown as it is.
pub fn is_clean(name: &str) -> bool {
    name.chars().all(is_shown)
}

/// A text with U+FFFD for every character that a name must not have, line ends too.
pub struct Shown<T>(pub T);

impl<T: Display> Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Filter(f), "{}", self.0)
    }
}

struct Filter<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Filter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let shown = |c| {
            if is_shown(c) {
                c
            } else {
                char::REPLACEMENT_CHARACTER
            }
        };
        text.chars().try_for_each(|c| self.0.write_char(shown(c)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use unicode_general_category::{GeneralCategory, UNICODE_VERSION, get_general_category};

    #[test]
    fn the_table_is_unicodes() {
        assert_eq!(UNICODE_VERSION, (16, 0, 0));
        for character in '\0'..=char::MAX {
            let refused = matches!(
                get_general_category(character),
                GeneralCategory::Control
                    | GeneralCategory::Format
                    | GeneralCategory::LineSeparator
                    | GeneralCategory::ParagraphSeparator
            );
            assert_eq!(is_shown(character), !refused, "{character:?}");
        }
    }

    #[test]
    fn names_are_clean_or_not() {
        for name in [
            "",
            "aeroplane",
            "Größe 3 µm",
            "飛行機",
            "طائرة",
            "\u{1f6e9}\u{fe0f}",
        ] {
            assert!(is_clean(name), "{name}");
        }
        // Orders to a terminal, bidirectional overrides, zero width, separators, soft hyphen, byte
        // order mark, tags.
        for bad in "\u{1b}\n\u{7f}\u{9b}\u{202e}\u{2066}\u{200b}\u{200d}\u{2060}\u{2028}\u{2029}\u{ad}\u{feff}\u{e0001}\u{e0041}".chars() {
            let name = format!("a{bad}b");
            assert!(!is_clean(&name), "{bad:?}");
            assert_eq!(format!("{}", Shown(&name)), "a\u{fffd}b");
        }
    }
}
