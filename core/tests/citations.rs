//! Every page, anchor and file that a comment or a page of this repository names is there.
//! Comments write `docs/design.md#relu`; a second anchor of the same page is just `#noise`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders with files that are not the project's own.
const SKIPPED: [&str; 4] = ["target", ".git", ".work", "__pycache__"];
/// Files that may cite.
const EXTENSIONS: [&str; 7] = ["rs", "md", "toml", "sh", "py", "x", "yml"];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !SKIPPED.contains(&name.as_str()) {
            files(&path, found);
        } else if EXTENSIONS.contains(&name.rsplit('.').next().unwrap()) || name == "run" {
            found.push(path);
        }
    }
}

/// The anchors of a page: `<a id="name">`, and its headings as a repository's host names them.
fn anchors(page: &str) -> BTreeSet<String> {
    let explicit = page.split("<a id=\"").skip(1);
    let explicit = explicit.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()));
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let headings = headings.map(|line| {
        let text = line.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter_map(|c| match c {
            ' ' => Some('-'),
            _ => (c.is_alphanumeric() || c == '-' || c == '_').then_some(c),
        });
        kept.collect()
    });
    explicit.chain(headings).collect()
}

fn is_of_anchor(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

fn is_of_path(c: char) -> bool {
    is_of_anchor(c) || c == '/' || c == '.'
}

/// The paths to files of any of [`EXTENSIONS`] that a text names, where they start in one of
/// these folders.
fn paths<'a>(text: &'a str, folders: &BTreeSet<String>) -> Vec<&'a str> {
    let words = text.split(|c| !is_of_path(c));
    let words = words.map(|word| word.trim_end_matches('.'));
    let is_path = |word: &&str| {
        let [folder, file] = [word.split_once('/'), word.rsplit_once('.')];
        folder.is_some_and(|(folder, _)| folders.contains(folder))
            && file.is_some_and(|(_, extension)| EXTENSIONS.contains(&extension))
    };
    words.filter(is_path).collect()
}

/// The pages that a text names by a path with `docs/` in it, with their anchors.
fn citations(text: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(".md") {
        let start = text[..at].rfind(|c| !is_of_path(c)).map_or(0, |i| i + 1);
        let path = &text[start..at + 3];
        if !path.starts_with("docs/") && !path.starts_with("core/docs/") {
            continue;
        }
        let (mut anchors, mut rest) = (Vec::new(), &text[at + 3..]);
        while let Some(after) = rest.strip_prefix('#') {
            let end = after.find(|c| !is_of_anchor(c)).unwrap_or(after.len());
            anchors.push(after[..end].to_owned());
            // A list goes on: "`, `#name" or "` and `#name", perhaps on the next line.
            let next = after[end..].trim_start_matches(['`', ',', ' ', '\n', '/', '!']);
            rest = next
                .strip_prefix("and")
                .unwrap_or(next)
                .trim_start_matches(['`', ' ', '\n', '/', '!']);
        }
        found.push((path.to_owned(), anchors));
    }
    found
}

/// The targets of a page's links, as they stand there.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let targets = page.split("](").skip(1);
    let targets = targets.filter_map(|rest| Some(rest.split_once(')')?.0));
    targets.filter(|target| !target.contains("://"))
}

/// Says what is wrong with a reference from `file`, if something is.
fn check(file: &Path, page: &Path, wanted: &[String], wrong: &mut Vec<String>) {
    let missing = |what: &str| format!("{}: {} has no {what}", file.display(), page.display());
    if !page.exists() {
        return wrong.push(format!("{}: no {}", file.display(), page.display()));
    }
    if wanted.is_empty() {
        return;
    }
    let known = anchors(&fs::read_to_string(page).unwrap());
    let unknown = wanted.iter().filter(|anchor| !known.contains(*anchor));
    wrong.extend(unknown.map(|anchor| missing(&format!("#{anchor}"))));
}

#[test]
fn every_citation_exists() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = core.parent().unwrap();
    let mut all = Vec::new();
    files(root, &mut all);
    let folders = fs::read_dir(root).unwrap().map(|entry| entry.unwrap());
    let folders = folders.filter(|entry| entry.path().is_dir());
    let folders = folders.map(|entry| entry.file_name().into_string().unwrap());
    let folders: BTreeSet<String> = folders.collect();
    let (mut wrong, mut anchored, mut named) = (Vec::new(), 0, 0);
    for file in &all {
        if file.ends_with("core/tests/citations.rs") {
            continue;
        }
        let text = fs::read_to_string(file).unwrap();
        // A path starts at the root, at the crate, or at a folder between.
        for path in paths(&text, &folders) {
            named += 1;
            let mut from = file
                .ancestors()
                .skip(1)
                .take_while(|at| at.starts_with(root));
            if !from.any(|folder| folder.join(path).exists()) {
                wrong.push(format!("{}: no {path}", file.display()));
            }
        }
        if file.extension().is_some_and(|extension| extension == "md") {
            for target in links(&text) {
                let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
                let page = match path {
                    "" => file.clone(),
                    _ => file.parent().unwrap().join(path),
                };
                let wanted = [anchor.to_owned()];
                let wanted = if anchor.is_empty() { &[][..] } else { &wanted };
                check(file, &page, wanted, &mut wrong);
            }
        } else {
            let near = if file.starts_with(core) { core } else { root };
            for (path, wanted) in citations(&text) {
                anchored += wanted.len();
                check(file, &near.join(path), &wanted, &mut wrong);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(anchored > 20, "only {anchored} anchors are cited");
    assert!(named > 100, "only {named} paths are named");
}

#[test]
fn citations_are_found_and_can_be_wrong() {
    let text =
        "/// As `docs/a.md#b` and\n/// `#c-d` say, see docs/e.md.\n// `core/docs/f.md#g`, `#h`.";
    let expected = [
        ("docs/a.md", &["b", "c-d"][..]),
        ("docs/e.md", &[]),
        ("core/docs/f.md", &["g", "h"]),
    ];
    let expected = expected.map(|(path, anchors)| {
        let anchors = anchors.iter().map(|&name| name.to_owned()).collect();
        (path.to_owned(), anchors)
    });
    assert_eq!(citations(text), expected);

    let folders = ["core", "docs"].map(String::from).into();
    let text = "See `core/src/a-b.rs`, docs/c.md. Not other/d.rs, /core/e.rs, core/f, `g.rs`.";
    assert_eq!(paths(text, &folders), ["core/src/a-b.rs", "docs/c.md"]);

    let known = anchors("# A word: `x`\n<a id=\"y\"></a>\n");
    assert_eq!(known, ["a-word-x", "y"].map(String::from).into());
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/design.md");
    let mut wrong = Vec::new();
    check(&page, &page, &["relu".into(), "nothing".into()], &mut wrong);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
}

#[test]
fn the_page_of_the_package_shows_the_tested_client() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tested = fs::read_to_string(package.join("src/lib.rs")).unwrap();
    let tested = tested.lines().filter_map(|line| line.strip_prefix("//!"));
    let tested = tested.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let tested = tested.skip_while(|line| !line.starts_with("```")).skip(1);
    let tested: Vec<_> = tested.take_while(|line| !line.starts_with('#')).collect();
    assert!(tested.len() > 20, "{tested:?}");
    let page = fs::read_to_string(package.join("README.md")).unwrap();
    let shown = page.lines().skip_while(|line| *line != "```rust").skip(1);
    let shown: Vec<_> = shown.take_while(|line| *line != "```").collect();
    assert_eq!(shown, tested);
}
