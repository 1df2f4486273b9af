//! The picture to classify, in its page of flash, and what comes out of it.
//!
//! The page holds: "stria1", channels (1 byte), side (1 byte), then the pixels as bytes, [channels,
//! rows, cols]. On a product it is the camera's buffer.

use heapless::Vec;
use stria_core::{
    Application, InputSpec, MAX_IMAGE_CHANNELS, Welcome, normalise, softmax_in_place,
};

/// The most classes.
const MAX_CLASSES: usize = 100;
const HEADER: usize = 8;
const PAGE: usize = 4096;

unsafe extern "C" {
    /// The page; the linker script's.
    static _image: [u8; PAGE];
}

/// The application of an inference: gives pixels, takes logits.
pub struct Picture {
    page: &'static [u8; PAGE],
    input: InputSpec,
    logit_scale: f32,
    logits: Vec<i32, MAX_CLASSES>,
    /// Set where there was no room for a logit.
    overflow: bool,
}

impl Picture {
    /// The picture in flash, if there is one.
    pub fn in_flash() -> Option<Self> {
        // SAFETY: the linker script sets the page aside in readable memory, and nobody writes it.
        let page = unsafe { &_image };
        let input = InputSpec {
            channels: page[6],
            side: page[7].into(),
            resize: 0,
            mean: [0.0; MAX_IMAGE_CHANNELS],
            std: [1.0; MAX_IMAGE_CHANNELS],
            scale: 1.0,
        };
        let size = HEADER + page[6] as usize * (page[7] as usize).pow(2);
        (page.starts_with(b"stria1") && size <= PAGE).then_some(Self {
            page,
            input,
            logit_scale: 1.0,
            logits: Vec::new(),
            overflow: false,
        })
    }

    /// Takes from the server's greeting how pixels become integers; false if its network wants a
    /// picture of another shape.
    pub fn fit(&mut self, welcome: &Welcome) -> bool {
        let fits =
            (welcome.input.channels, welcome.input.side) == (self.input.channels, self.input.side);
        if fits {
            self.input = welcome.input;
            self.logit_scale = welcome.logit_scale;
            self.logits.clear();
        }
        fits && usize::from(welcome.classes) <= MAX_CLASSES
    }

    /// Logits in integer units, by class; none unless all have come.
    pub fn logits(&self) -> &[i32] {
        if self.overflow { &[] } else { &self.logits }
    }

    /// Probabilities of the classes.
    pub fn probabilities(&self) -> [f32; MAX_CLASSES] {
        let mut probabilities = [0.0; MAX_CLASSES];
        softmax_in_place(self.logits(), self.logit_scale, &mut probabilities);
        probabilities
    }
}

impl Application for Picture {
    fn pixel(&mut self, channel: usize, row: usize, col: usize) -> i32 {
        let side = usize::from(self.input.side);
        let at = HEADER + (channel * side + row) * side + col;
        let pixel = self.page.get(at).copied().unwrap_or(0);
        let (mean, std) = (self.input.mean[channel], self.input.std[channel]);
        normalise(pixel, mean, std, self.input.scale)
    }

    fn logit(&mut self, _class: u16, value: i32) {
        self.overflow |= self.logits.push(value).is_err();
    }
}
