//! `docs/results.md`: what the commands measured, as one page of Markdown.
//! Everything on it is read from the files that they wrote.

use serde_json::Value;

use super::numbers::{bytes, count, seconds, short};
use super::{Bench, NetworkFacts, claims};

/// What the page is made of.
pub struct Results {
    /// What a reader must know of the runs, as Markdown; empty for nothing.
    pub note: String,
    /// `bench.json` of `stria bench`.
    pub bench: Bench,
    /// What `stria demo --json` printed.
    pub demo: Value,
    /// What `stria-sim --json` printed, a run each.
    pub firmware: Vec<Value>,
}

/// Something that a file of measurements should hold and does not.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a file of measurements has no number at {0}: make it again with this version")]
pub struct Missing(String);

/// The page.
pub fn page(results: &Results) -> Result<String, Missing> {
    let mut page = String::from(
        "# Results\n\n\
         Made by `stria results docs/results > docs/results.md` out of the files in [results](results), which other commands\n\
         wrote; a test compares. How things are measured, and what times include, is in [benchmark.md](benchmark.md); how\n\
         accurate the trained networks are, in [models/README.md](../models/README.md).\n",
    );
    if !results.note.is_empty() {
        page = page + "\n" + &results.note;
    }
    page += &demo(&results.demo)?;
    page += &networks(&results.bench);
    page += &paper(&results.bench);
    page += &microcontroller(&results.firmware)?;
    Ok(page)
}

fn demo(demo: &Value) -> Result<String, Missing> {
    let number = |path: &str| number(demo, path);
    let images = demo["images"].as_array().map_or(0, Vec::len) as u64;
    let (up, down) = (number("/bytes_up")?, number("/bytes_down")?);
    let layers = demo["layers"].as_array().map_or(&[][..], Vec::as_slice);
    let errors = layers
        .iter()
        .filter_map(|layer| layer["max_error_units"].as_u64());
    let each = (up + down) as f64 / number("/activations")?.max(1) as f64;
    let answer = number("/answer/bytes_up")? + number("/answer/bytes_down")?;
    let answer = answer as f64 / number("/activations")?.max(1) as f64;
    let rows = [
        (
            "secure and plaintext inference name the same class",
            format!("{} of {images} images", number("/agree")?),
        ),
        (
            "largest error of an activation, in its last place",
            errors.max().unwrap_or(0).to_string(),
        ),
        (
            "activations of an inference",
            count(number("/activations")?),
        ),
        (
            "time of an inference, client and server on one machine",
            seconds(real(demo, "/seconds_per_image")?),
        ),
        (
            "of that, before there is an image",
            seconds(real(demo, "/prepare/seconds")?),
        ),
        (
            "and from the image to the label",
            seconds(real(demo, "/answer/seconds")?),
        ),
        (
            "traffic of an inference",
            format!("{} up, {} down", bytes(up), bytes(down)),
        ),
        ("of that, for each activation", format!("{each:.1} bytes")),
        (
            "from the image to the label, for each activation",
            format!("{answer:.1} bytes"),
        ),
        (
            "messages in series, before there is an image and then",
            format!(
                "{}, {}",
                number("/prepare/messages")?,
                number("/answer/messages")?
            ),
        ),
        ("set-up of a session", bytes(number("/bytes_setup")?)),
        ("the client's state", bytes(number("/client_state_bytes")?)),
        (
            "rotations, bytes of Galois keys",
            format!(
                "{}, {}",
                number("/rotations")?,
                number("/galois_key_bytes")?
            ),
        ),
    ];
    let mut text = String::from(
        "\n## The demo\n\n`stria demo --json`: the bundled network on the bundled images.\n\n| what | figure |\n|---|---|\n",
    );
    for (what, figure) in rows {
        row(&mut text, &[what.into(), figure]);
    }
    Ok(text)
}

fn networks(bench: &Bench) -> String {
    let links: Vec<&str> = bench.links.iter().map(|link| link.name.as_str()).collect();
    let links = links.join(",");
    let machine = bench.machine.processor.as_deref().unwrap_or("a processor");
    let mut text = format!(
        "\n## Networks, packings and links\n\n`stria bench --links {links}`, version {}, on {} cores of {machine}, which client and server share. Times are\n\
         medians of an inference, and of that from the image to the label. Rotations are internal / external.\n\n",
        bench.version, bench.machine.cores
    );
    let mut head = vec!["network".to_owned(), "packing".into()];
    head.extend(bench.links.iter().map(|link| link.name.clone()));
    head.extend(["rotations", "traffic", "set-up", "server's memory"].map(String::from));
    row(&mut text, &head);
    row(&mut text, &vec!["---".into(); head.len()]);
    for NetworkFacts {
        name,
        random_weights,
        ..
    } in &bench.networks
    {
        for packing in ["segment", "coefficient", "slot"] {
            let Some(any) = bench.any_link(name, packing) else {
                continue;
            };
            let operations = &any.counts.operations;
            let weights = if *random_weights {
                ", random weights"
            } else {
                ""
            };
            let mut cells = vec![format!("`{name}`{weights}"), packing.into()];
            cells.extend(bench.links.iter().map(|link| {
                let run = bench.measured(name, packing, &link.name);
                run.map_or("-".into(), |run| {
                    let label = seconds(run.answer.seconds);
                    format!("{}, {label}", seconds(run.median_seconds))
                })
            }));
            cells.extend([
                format!(
                    "{} / {}",
                    count(operations.internal_rotations),
                    count(operations.external_rotations)
                ),
                bytes(any.counts.bytes()),
                bytes(any.setup_bytes),
                any.server_memory_bytes.map_or("-".into(), bytes),
            ]);
            row(&mut text, &cells);
        }
    }
    text
}

fn paper(bench: &Bench) -> String {
    let mut text = String::from(
        "\n## Claims of the paper\n\nFrom the abstract of arXiv 2601.21287. Ratios are given as they come out, also where a claim is not reproduced.\n\n\
         | claim | what is compared here | measured |\n|---|---|---|\n",
    );
    for claim in claims(bench) {
        row(
            &mut text,
            &[claim.claim, claim.meaning, claim.measured.join("<br>")],
        );
    }
    text
}

fn microcontroller(runs: &[Value]) -> Result<String, Missing> {
    let mut text = String::from(
        "\n## On a microcontroller\n\n`stria-sim --json`: the firmware in QEMU, a picture each. Instructions are counted by QEMU, without the interrupts\n\
         of the line. A board that redeems tickets has nothing to prepare.\n\n",
    );
    let columns: Vec<_> = runs.iter().map(device).collect::<Result<_, _>>()?;
    let Some(first) = columns.first() else {
        return Ok(text + "No run is there.\n");
    };
    for (i, (what, _)) in first.iter().enumerate() {
        let cells = columns.iter().map(|column| column[i].1.clone());
        let cells: Vec<String> = std::iter::once((*what).into()).chain(cells).collect();
        row(&mut text, &cells);
        if i == 0 {
            row(&mut text, &vec!["---".into(); cells.len()]);
        }
    }
    Ok(text)
}

/// A column: what each figure is, and the figure.
fn device(run: &Value) -> Result<[(&'static str, String); 14], Missing> {
    let number = |path: &str| number(run, path);
    let instructions = |name: &str| {
        let counted = number(&format!("/instructions/{name}"))?;
        Ok(match counted {
            0 => "-".into(),
            1_000_000.. => format!("{} M instructions", short(counted as f64 / 1e6)),
            _ => format!("{} instructions", count(counted)),
        })
    };
    let both = |up: &str, down: &str| Ok(bytes(number(up)? + number(down)?));
    let name = |key: &str| run[key].as_str().unwrap_or("?");
    Ok([
        ("", format!("`{}` on {}", name("network"), name("board"))),
        ("activations", count(number("/activations")?)),
        ("key generation, a session", instructions("keygen")?),
        ("base transfers, a session", instructions("base_ot")?),
        (
            "encryption of a ciphertext",
            instructions("encrypt_per_ciphertext")?,
        ),
        (
            "decryption of a ciphertext",
            instructions("decrypt_per_ciphertext")?,
        ),
        (
            "transfers of an activation",
            instructions("prepare_per_activation")?,
        ),
        (
            "answer of an activation",
            instructions("answer_per_activation")?,
        ),
        ("packets of the line, in all", instructions("framing")?),
        (
            "RAM: statics and deepest stack",
            format!(
                "{} + {} bytes",
                count(number("/ram_static")?),
                count(number("/ram_stack_peak")?)
            ),
        ),
        ("flash", format!("{} bytes", count(number("/flash")?))),
        (
            "the session's traffic, both ways",
            both("/bytes_up", "/bytes_down")?,
        ),
        (
            "on the line, with the link",
            both("/line_bytes_up", "/line_bytes_down")?,
        ),
        (
            "wall time, most of it the emulated UART",
            seconds(real(run, "/wall_seconds")?),
        ),
    ])
}

fn number(value: &Value, path: &str) -> Result<u64, Missing> {
    let found = value.pointer(path).and_then(Value::as_u64);
    found.ok_or_else(|| Missing(path.into()))
}

fn real(value: &Value, path: &str) -> Result<f64, Missing> {
    let found = value.pointer(path).and_then(Value::as_f64);
    found.ok_or_else(|| Missing(path.into()))
}

/// A row of a table; what would end a cell, or a line, is taken out.
fn row(text: &mut String, cells: &[String]) {
    for cell in cells {
        let cell = cell.replace('|', "\\|").replace(char::is_control, " ");
        text.push_str("| ");
        text.push_str(&cell);
        text.push(' ');
    }
    text.push_str("|\n");
}
