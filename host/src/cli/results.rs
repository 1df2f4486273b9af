//! `stria results`: the page of results, from what other commands measured.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::de::DeserializeOwned;
use stria_host::report::markdown::{Results, page};

#[derive(clap::Args)]
pub struct Args {
    /// Folder with bench.json (of `stria bench`), demo.json (of `stria demo --json`) and any number of
    /// firmware*.json (of `stria-sim --json`), all of one machine; and note.md, where a reader must
    /// know something of the runs.
    folder: PathBuf,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let entries = args
        .folder
        .read_dir()
        .and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.with_context(|| format!("cannot read {}", args.folder.display()))?;
    let mut names: Vec<String> = entries
        .into_iter()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("firmware") && name.ends_with(".json"))
        .collect();
    names.sort();
    let firmware = names.iter().map(|name| load(&args.folder.join(name)));
    let note = args.folder.join("note.md");
    let note = match note.exists() {
        true => std::fs::read_to_string(&note)
            .with_context(|| format!("cannot read {}", note.display()))?,
        false => String::new(),
    };
    let results = Results {
        note,
        bench: load(&args.folder.join("bench.json"))?,
        demo: load(&args.folder.join("demo.json"))?,
        firmware: firmware.collect::<Result<_, _>>()?,
    };
    print!("{}", page(&results)?);
    Ok(())
}

fn load<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is not what the command writes", path.display()))
}
