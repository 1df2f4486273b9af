//! The only place that knows where core's modules are.
#![allow(unused_imports, reason = "the random harness needs a part")]

pub use stria_core::arith::bits::{pack, packed_len, unpack};
pub use stria_core::link::{Link, Timing, payload_len};
pub use stria_core::network::layer::{Kernel, Layer, Pool};
pub use stria_core::network::name::{Shown, is_clean};
pub use stria_core::ot::{Code, Direction, REVERSE, SenderTrees, sender_words};
pub use stria_core::packing::segment::SegmentLayout;
pub use stria_core::packing::slot::SlotLayout;
pub use stria_core::packing::{Layout, OutputCursor, Packing, Places};
pub use stria_core::protocol::base::{frames, read_messages};
pub use stria_core::protocol::client::{Chunks, Memory, Whole};
pub use stria_core::protocol::corrections::Call;
pub use stria_core::protocol::frame::{Frame, HEADER, Kind, MAX_FRAME, MAX_PAYLOAD, write_failure};
pub use stria_core::protocol::greeting::{
    Hello, Settings, VERSION, Welcome, read_control, read_greeting, relu_params, write_control,
};
pub use stria_core::protocol::linear::ClientLinear;
pub use stria_core::protocol::linear::segment::Segments;
pub use stria_core::protocol::linear::slot::{ReceiveKeys, Slots, read_rotations};
pub use stria_core::protocol::transfer::ReceiveUpload;
pub use stria_core::random::SessionId;
pub use stria_core::relu::{Record, packed_records};
pub use stria_core::rlwe::Ring4096;
pub use stria_core::{Error, PeerError, read_frame};
