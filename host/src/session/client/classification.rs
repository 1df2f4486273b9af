//! One classification as the protocol's client sees it.

use stria_core::protocol::client::Application;

/// The image that is classified, and what comes back.
#[derive(Default)]
pub(super) struct Classification {
    pub side: usize,
    /// [channels, rows, cols].
    pub pixels: Vec<i32>,
    /// One a class.
    pub logits: Vec<i32>,
    /// Logits that came.
    pub received: usize,
    pub classes: Vec<String>,
}

impl Application for Classification {
    fn pixel(&mut self, channel: usize, row: usize, col: usize) -> i32 {
        let at = (channel * self.side + row) * self.side + col;
        self.pixels.get(at).copied().unwrap_or(0)
    }
    fn label(&mut self, _class: u16, name: &str) {
        self.classes.push(name.into());
    }
    fn logit(&mut self, class: u16, value: i32) {
        self.received += 1;
        if let Some(logit) = self.logits.get_mut(usize::from(class)) {
            *logit = value;
        }
    }
}
