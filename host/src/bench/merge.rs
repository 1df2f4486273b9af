//! Several benchmarks become one.

use crate::report::{Bench, Run};

/// Adds the runs of another benchmark of the same machine; of two runs of the same network, packing
/// and link the other's counts. The error says why the two cannot be put together.
pub fn merge(mut bench: Bench, other: Bench) -> Result<Bench, &'static str> {
    if bench.machine != other.machine || bench.version != other.version {
        return Err("it is of another machine or version");
    }
    for network in other.networks {
        bench.networks.retain(|known| known.name != network.name);
        bench.networks.push(network);
    }
    for link in other.links {
        if bench
            .links
            .iter()
            .any(|known| known.name == link.name && *known != link)
        {
            return Err("it has another link of the same name");
        }
        if !bench.links.contains(&link) {
            bench.links.push(link);
        }
    }
    for run in other.runs {
        bench.runs.retain(|known| key(known) != key(&run));
        bench.runs.push(run);
    }
    Ok(bench)
}

/// What tells a run from other runs.
fn key(run: &Run) -> (&str, &str, &str) {
    (&run.network, &run.packing, &run.link)
}
