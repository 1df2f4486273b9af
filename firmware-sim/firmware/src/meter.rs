//! Instructions by phase of the protocol: those of the client's `poll` and `handle`, without
//! interrupts and without waiting. A call belongs to the phase of the frame that it takes or
//! gives; what it does ahead for the next frame (packing the next input, say) goes with it.

use stria_core::{Error, Frame, FrameBuf, Kind, Party, SmallClient, T_BITS};

use crate::board::Stopwatch;
use crate::picture::Picture;

/// What instructions are spent on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Greetings and goodbye.
    Other,
    /// Secret and public key.
    Keys,
    /// Base transfers: choices, their response, messages of either direction.
    BaseTransfers,
    /// Shares of the input, packing and encryption.
    Encryption,
    /// Decryption and unpacking of responses.
    Decryption,
    /// Oblivious transfers of the ReLU, which need the client's share alone.
    Preparing,
    /// Its answers and replies.
    Answering,
}

const PHASES: usize = 7;
/// Frames of c1 in a response.
const C1_FRAMES: u32 = 16;

/// Sums of one session.
pub struct Meter {
    instructions: [u64; PHASES],
    inference: bool,
    uploads: u32,
    encryptions: u32,
    response_frames: u32,
    activations: u32,
}

impl Meter {
    /// Nothing counted.
    pub fn new() -> Self {
        Self {
            instructions: [0; PHASES],
            inference: false,
            uploads: 0,
            encryptions: 0,
            response_frames: 0,
            activations: 0,
        }
    }

    fn count(&mut self, frame: Option<Frame<'_>>, spent: u64) {
        let phase = frame.map_or(Phase::Other, |frame| self.phase(frame));
        self.instructions[phase as usize] += spent;
    }

    fn phase(&mut self, frame: Frame<'_>) -> Phase {
        match frame.kind {
            Kind::Begin | Kind::Layer => {
                self.inference = true;
                Phase::Encryption
            }
            Kind::Seed | Kind::Limb if self.inference => {
                self.encryptions += u32::from(frame.kind == Kind::Seed);
                Phase::Encryption
            }
            Kind::Seed | Kind::Limb => {
                self.uploads += u32::from(frame.kind == Kind::Seed);
                // The first upload is the public key.
                if self.uploads == 1 {
                    Phase::Keys
                } else {
                    Phase::BaseTransfers
                }
            }
            Kind::Welcome => Phase::Keys,
            Kind::ResponseC1 | Kind::ResponseC0 | Kind::Logits if self.inference => {
                self.response_frames += u32::from(frame.kind == Kind::ResponseC1);
                Phase::Decryption
            }
            Kind::ReverseCorrection if self.inference => Phase::Preparing,
            Kind::ResponseC1 | Kind::ResponseC0 | Kind::BaseMessages | Kind::ReverseCorrection => {
                Phase::BaseTransfers
            }
            Kind::ForwardCorrection | Kind::Residues => Phase::Preparing,
            Kind::Answers => Phase::Answering,
            Kind::Replies => {
                // A bit and a residue each, both filled up to a byte.
                self.activations += 8 * frame.payload.len() as u32 / (1 + T_BITS);
                Phase::Answering
            }
            _ => Phase::Other,
        }
    }

    /// Instructions of a phase.
    pub fn instructions(&self, phase: Phase) -> u64 {
        self.instructions[phase as usize]
    }

    /// Ciphertexts encrypted in the inference.
    pub fn encryptions(&self) -> u32 {
        self.encryptions
    }

    /// Ciphertexts decrypted in the inference.
    pub fn decryptions(&self) -> u32 {
        self.response_frames / C1_FRAMES
    }

    /// Activations of the inference.
    pub fn activations(&self) -> u32 {
        self.activations
    }
}

/// The client and its picture, every call counted.
pub struct Metered<'a> {
    pub client: &'a mut SmallClient,
    pub picture: &'a mut Picture,
    pub meter: &'a mut Meter,
}

impl Party for Metered<'_> {
    fn poll(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        let watch = Stopwatch::start();
        let len = self.client.poll(self.picture, out);
        let frame = match len {
            Ok(Some(len)) => Frame::new_checked(&out[..len]).ok(),
            _ => None,
        };
        self.meter.count(frame, watch.stop());
        len
    }
    fn handle(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        let watch = Stopwatch::start();
        let result = self.client.handle(self.picture, frame);
        self.meter.count(Some(frame), watch.stop());
        result
    }
    fn rests(&self) -> bool {
        self.client.is_ready() || self.client.is_closed()
    }
    fn close(&mut self) {
        self.client.close();
    }
}
