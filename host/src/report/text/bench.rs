//! A benchmark as a table.

use std::io::{self, Write};

use super::{bytes, table};
use crate::bench::{Bench, Outcome};

/// Shows the runs, a line each.
pub fn table_of(out: &mut impl Write, bench: &Bench) -> io::Result<()> {
    let header = [
        "network", "packing", "link", "seconds", "estimate", "up", "down", "internal", "external",
        "set-up", "memory", "agree",
    ];
    let mut rows = vec![header.map(String::from).to_vec()];
    for run in &bench.runs {
        let mut row = vec![run.network.clone(), run.packing.clone(), run.link.clone()];
        if let Outcome::Measured(measured) = &run.outcome {
            let counts = &measured.counts;
            let memory = measured
                .client_memory_bytes
                .zip(measured.server_memory_bytes);
            row.extend([
                format!("{:.2}", measured.median_seconds),
                format!("{:.2}", measured.predicted.seconds),
                bytes(counts.bytes_up),
                bytes(counts.bytes_down),
                counts.operations.internal_rotations.to_string(),
                counts.operations.external_rotations.to_string(),
                bytes(measured.setup_bytes),
                memory.map_or("-".into(), |(client, server)| bytes(client + server)),
                format!("{} of {}", measured.agree, measured.seconds.len()),
            ]);
            rows.push(row);
        }
    }
    if rows.len() > 1 {
        table(out, &rows)?;
    }
    for run in &bench.runs {
        if let Outcome::Failed { error } = &run.outcome {
            writeln!(out, "{} {} {}: {error}", run.network, run.packing, run.link)?;
        }
    }
    Ok(())
}
