//! Tests with both parties in one process, one module a subject.

mod any_input;
mod architecture;
mod baselines;
mod batches;
mod drive;
mod edges;
mod encryption;
mod end_to_end;
mod faults;
mod leaks;
mod linear;
mod link;
mod masked;
mod packing_leaks;
mod packings;
mod parameters;
mod phases;
mod slot;
mod slot_faults;
mod slot_layers;
mod slot_parameters;
mod ticket_faults;
mod tickets;
mod traffic;
mod two_party;
mod wire;
