//! A benchmark as a table.

use std::io::{self, Write};

use super::table::Table;
use crate::report::numbers::bytes;
use crate::report::{Bench, Outcome};

/// Shows the runs, a line each; `label` is what an image takes once all is prepared.
pub fn bench(out: &mut impl Write, bench: &Bench) -> io::Result<()> {
    let header = "network, packing, link, seconds, label, estimate, up, down, internal, external, set-up, memory, agree";
    let mut table = Table::new(header);
    for run in &bench.runs {
        if let Outcome::Measured(measured) = &run.outcome {
            let counts = &measured.counts;
            let (client, server) = (measured.client_memory_bytes, measured.server_memory_bytes);
            let memory = client.zip(server);
            table.row(&[
                &run.network,
                &run.packing,
                &run.link,
                &format!("{:.2}", measured.median_seconds),
                &format!("{:.2}", measured.answer.seconds),
                &format!("{:.2}", measured.predicted.seconds),
                &bytes(counts.bytes_up),
                &bytes(counts.bytes_down),
                &counts.operations.internal_rotations,
                &counts.operations.external_rotations,
                &bytes(measured.setup_bytes),
                &memory.map_or("-".into(), |(client, server)| bytes(client + server)),
                &format!("{} of {}", measured.agree, measured.seconds.len()),
            ]);
        }
    }
    if !table.is_empty() {
        table.write(out)?;
    }
    for run in &bench.runs {
        if let Outcome::Failed { error } = &run.outcome {
            writeln!(out, "{} {} {}: {error}", run.network, run.packing, run.link)?;
        }
    }
    Ok(())
}
