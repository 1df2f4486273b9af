//! Instructions by kind of work: those of the client's `poll` and `handle`, without
//! interrupts and without waiting. A call belongs to the work of the frame that it takes or
//! gives; what it does ahead for the next frame (packing the next input, say) goes with it.

use stria_core::{Error, Frame, FrameBuf, Kind, Party, Phase, T_BITS};

use crate::board::Stopwatch;

/// What instructions are spent on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Work {
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
    /// Oblivious transfers of the ReLU, which need the client's share alone, and records to the server.
    Preparing,
    /// The picture, records from the server, answers and replies.
    Answering,
}

const WORKS: usize = 7;
/// Frames of c1 in a response.
const C1_FRAMES: u32 = 16;

/// Sums of one session.
pub struct Meter {
    instructions: [u64; WORKS],
    uploads: u32,
    encryptions: u32,
    response_frames: u32,
    activations: u32,
}

impl Meter {
    /// Nothing counted.
    pub fn new() -> Self {
        Self {
            instructions: [0; WORKS],
            uploads: 0,
            encryptions: 0,
            response_frames: 0,
            activations: 0,
        }
    }

    /// Counts a call; `at` is where the inference was before it, if there was one.
    fn count(&mut self, at: Option<Phase>, frame: Option<Frame<'_>>, spent: u64) {
        let work = frame.map_or(Work::Other, |frame| self.work(at, frame));
        self.instructions[work as usize] += spent;
    }

    fn work(&mut self, at: Option<Phase>, frame: Frame<'_>) -> Work {
        let inference = at.is_some();
        match frame.kind {
            Kind::Replies => {
                // A bit and a residue each, both filled up to a byte.
                self.activations += 8 * frame.payload.len() as u32 / (1 + T_BITS);
                Work::Answering
            }
            _ if at == Some(Phase::Answer) => Work::Answering,
            Kind::Begin | Kind::Layer => Work::Encryption,
            Kind::Seed | Kind::Limb if inference => {
                self.encryptions += u32::from(frame.kind == Kind::Seed);
                Work::Encryption
            }
            Kind::Seed | Kind::Limb => {
                self.uploads += u32::from(frame.kind == Kind::Seed);
                // The first upload is the public key.
                if self.uploads == 1 {
                    Work::Keys
                } else {
                    Work::BaseTransfers
                }
            }
            Kind::Welcome => Work::Keys,
            Kind::ResponseC1 | Kind::ResponseC0 if inference => {
                self.response_frames += u32::from(frame.kind == Kind::ResponseC1);
                Work::Decryption
            }
            Kind::ReverseCorrection if inference => Work::Preparing,
            Kind::ResponseC1 | Kind::ResponseC0 | Kind::BaseMessages | Kind::ReverseCorrection => {
                Work::BaseTransfers
            }
            Kind::ForwardCorrection | Kind::Residues | Kind::Reshare | Kind::Records => {
                Work::Preparing
            }
            _ => Work::Other,
        }
    }

    /// Instructions of some work.
    pub fn instructions(&self, work: Work) -> u64 {
        self.instructions[work as usize]
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

/// A client and its picture, every call counted.
pub struct Metered<'a, P> {
    pub party: P,
    /// Where its inference is, if there is one.
    pub phase: fn(&P) -> Option<Phase>,
    pub meter: &'a mut Meter,
}

impl<P: Party> Party for Metered<'_, P> {
    fn poll(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        let at = (self.phase)(&self.party);
        let watch = Stopwatch::start();
        let len = self.party.poll(out);
        let frame = match len {
            Ok(Some(len)) => Frame::new_checked(&out[..len]).ok(),
            _ => None,
        };
        self.meter.count(at, frame, watch.stop());
        len
    }
    fn handle(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        let at = (self.phase)(&self.party);
        let watch = Stopwatch::start();
        let result = self.party.handle(frame);
        self.meter.count(at, Some(frame), watch.stop());
        result
    }
    fn rests(&self) -> bool {
        self.party.rests()
    }
    fn close(&mut self) {
        self.party.close();
    }
}
