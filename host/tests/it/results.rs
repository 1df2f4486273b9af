//! `docs/results.md` is what `stria results` makes of the files beside it.

use std::path::Path;

use super::command::{Folder, failure, stria};

#[test]
fn the_page_of_results_is_up_to_date() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let made = stria(&["results", docs.join("results").to_str().unwrap()]);
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let page = std::fs::read_to_string(docs.join("results.md")).unwrap();
    assert!(
        page.as_bytes() == made.stdout,
        "make it again: stria results docs/results > docs/results.md"
    );
}

#[test]
fn files_that_are_missing_or_wrong_are_named() {
    let folder = Folder::new("results");
    let path = folder.0.to_str().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.0.join(name), text).unwrap();
    assert!(failure(&["results", path]).contains("bench.json"));
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/results/bench.json");
    std::fs::copy(docs, folder.0.join("bench.json")).unwrap();
    write("demo.json", "{}");
    assert!(failure(&["results", path]).contains("no number at /bytes_up"));
}
