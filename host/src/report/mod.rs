//! What the program writes: the data that serde writes (field names are part of the interface), and
//! the same for people, as [`text`], [`html`] and [`markdown`]. Nothing here runs the protocol or
//! times it: what is computed follows from what is given. Two exceptions reach outside: [`machine`]
//! asks the system, and [`Constants`] have a file.

mod bench;
mod claims;
mod constants;
mod cost;
mod counts;
mod demo;
mod eval;
pub mod html;
mod import;
mod infer;
mod inspect;
mod layer;
pub mod machine;
pub mod markdown;
mod numbers;
mod plan;
mod serve;
pub mod text;
mod tickets;

pub use bench::{Bench, Measured, MeasuredLayer, NetworkFacts, Outcome, Predicted, Run};
pub use claims::{Claim, claims};
pub use constants::{Constants, ConstantsError, Ring, Source};
pub use cost::{Cost, Factor, LayerCost};
pub use counts::{Counts, Operations};
pub use demo::{DemoLayer, DemoReport, Security};
pub use eval::{Disagreement, EvalReport, Margins};
pub use import::{ImportReport, ImportedLayer};
pub use infer::{Guess, InferReport, Inference, InferredImage, LayerPart, PhasePart};
pub use inspect::{InspectReport, InspectedLayer};
pub use layer::LayerShape;
pub use machine::Machine;
pub use plan::{
    ConstantBottleneck, ConstantsUsed, DesignReport, DesignedStage, PlanReport, PlannedLayer,
};
pub use serve::{Listening, SessionReport};
pub use tickets::{ListedTicket, PrepareReport, TicketsReport};
