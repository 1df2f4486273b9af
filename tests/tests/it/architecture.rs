//! The architecture as `docs/architecture.md` tells it: what imports what, the public face of `core`,
//! and the walk of one activation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A path in a program: `["crate", "arith", "field"]`, or a module's from the crate's root.
type Names = Vec<String>;

/// Code without comments, and without what stands from a file's test module on.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    let code = lines.collect::<Vec<_>>().join("\n");
    let tests = code.match_indices("#[cfg(test)]").find(|(at, attribute)| {
        let item = code[at + attribute.len()..].trim_start();
        item.starts_with("mod ") && item.find('{') < item.find(';').or(Some(usize::MAX))
    });
    code[..tests.map_or(code.len(), |(at, _)| at)].to_owned()
}

/// The paths of a tree behind `use`, each with the name that it gets.
fn leaves(tree: &str, head: &[String]) -> Vec<(Names, String)> {
    let split = |path: &str| -> Names {
        let names = path.split("::").map(|name| name.trim().to_owned());
        names.filter(|name| !name.is_empty()).collect()
    };
    let Some((path, list)) = tree.split_once('{') else {
        let (path, name) = tree.split_once(" as ").unwrap_or((tree, ""));
        let mut path = [head, &split(path)].concat();
        if path.last().is_some_and(|name| name == "self") && path.len() > 1 {
            path.pop();
        }
        let name = match name.trim() {
            "" => path.last().cloned().unwrap_or_default(),
            name => name.to_owned(),
        };
        return vec![(path, name)];
    };
    let head = [head, &split(path)].concat();
    let list = &list[..list.rfind('}').unwrap_or(list.len())];
    let mut depth = 0;
    let items = list.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let items = items.filter(|item| !item.trim().is_empty());
    items.flat_map(|item| leaves(item, &head)).collect()
}

/// The statements `use` of some code, each with what stands before it since the last statement, and
/// the code without them.
fn uses(code: &str) -> (Vec<(&str, &str)>, String) {
    let (mut found, mut rest) = (Vec::new(), String::new());
    for statement in code.split_inclusive(';') {
        let begins = |at: &usize| {
            let line = statement[..*at].rsplit('\n').next().unwrap().trim_start();
            line.is_empty() || line.starts_with("pub")
        };
        let mut places = statement.match_indices("use ").map(|(at, _)| at);
        match places.find(begins) {
            Some(at) => {
                let tree = statement[at + "use ".len()..].trim_end_matches(';');
                found.push((&statement[..at], tree));
                rest += &statement[..at];
            }
            None => rest += statement,
        }
    }
    (found, rest)
}

/// A crate's modules, tests aside.
struct Crate {
    /// What each module imports, by the name that it gets.
    imports: BTreeMap<Names, BTreeMap<String, Names>>,
    /// All paths to other modules, in imports and elsewhere.
    paths: BTreeMap<Names, Vec<Names>>,
}

impl Crate {
    /// Of (module, text).
    fn new(files: impl IntoIterator<Item = (Names, String)>) -> Self {
        let (mut imports, mut paths) = (BTreeMap::<_, BTreeMap<_, _>>::new(), BTreeMap::new());
        for (module, text) in files {
            let code = code(&text);
            let (uses, rest) = uses(&code);
            let used: Vec<_> = uses
                .iter()
                .flat_map(|(_, tree)| leaves(tree, &[]))
                .collect();
            let all: &mut Vec<Names> = paths.entry(module.clone()).or_default();
            all.extend(used.iter().map(|(path, _)| path.clone()));
            let is_of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            let visibility = rest.replace("(in crate::", "(");
            for word in visibility.split(|c| !is_of_path(c)) {
                let path: Names = word.split("::").map(str::to_owned).collect();
                if path.len() > 1 && ["crate", "super", "self"].contains(&&*path[0]) {
                    all.push(path);
                }
            }
            let names = used.into_iter().map(|(path, name)| (name, path));
            imports.entry(module).or_default().extend(names);
        }
        Self { imports, paths }
    }

    /// Of a folder `src`.
    fn read(source: &Path) -> Self {
        let mut files = Vec::new();
        let mut folders = vec![(source.to_owned(), Names::new())];
        while let Some((folder, module)) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                let inner = [&module[..], std::slice::from_ref(&name)].concat();
                match name.as_str() {
                    "tests" => {}
                    _ if path.is_dir() => folders.push((path, inner)),
                    _ if path.extension().is_none_or(|extension| extension != "rs") => {}
                    "lib" | "main" | "mod" => {
                        files.push((module.clone(), fs::read_to_string(path).unwrap()));
                    }
                    _ => files.push((inner, fs::read_to_string(path).unwrap())),
                }
            }
        }
        Self::new(files)
    }

    /// The module that a path in `module` leads to, through imports, if it is of this crate.
    fn resolve(&self, module: &[String], path: &[String], depth: usize) -> Option<Names> {
        let (first, mut rest) = path.split_first()?;
        let mut here = module.to_vec();
        match first.as_str() {
            "crate" => here.clear(),
            "self" => {}
            "super" => {
                here.pop();
                while rest.first().is_some_and(|name| name == "super") {
                    here.pop();
                    rest = &rest[1..];
                }
            }
            _ if self.paths.contains_key(&[module, &path[..1]].concat()) => rest = path,
            _ => return None,
        }
        while let Some((name, after)) = rest.split_first() {
            let child = [&here[..], &rest[..1]].concat();
            if self.paths.contains_key(&child) {
                (here, rest) = (child, after);
                continue;
            }
            let import = self.imports.get(&here).and_then(|names| names.get(name));
            if let (Some(import), true) = (import, depth < 8) {
                let path = [&import[..], after].concat();
                here = self.resolve(&here, &path, depth + 1).unwrap_or(here);
            }
            break;
        }
        Some(here)
    }

    /// What imports what among the files and folders of each folder. A module may name those inside
    /// it, and they what it has itself.
    fn edges(&self) -> BTreeMap<Names, BTreeSet<Names>> {
        let mut edges = BTreeMap::<Names, BTreeSet<Names>>::new();
        for (from, paths) in &self.paths {
            for to in paths.iter().filter_map(|path| self.resolve(from, path, 0)) {
                let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
                if same < from.len() && same < to.len() {
                    let targets = edges.entry(from[..=same].to_vec()).or_default();
                    targets.insert(to[..=same].to_vec());
                }
            }
        }
        edges
    }

    /// What leads back to itself, with what it imports.
    fn circles(&self) -> Vec<String> {
        let edges = self.edges();
        let returns = |from: &Names| {
            let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
            while let Some(at) = next.pop() {
                let targets = edges.get(at).into_iter().flatten();
                next.extend(targets.filter(|target| seen.insert(*target)));
            }
            seen.contains(from)
        };
        let circles = edges.iter().filter(|(from, _)| returns(from));
        let told = circles.map(|(from, targets)| {
            let targets = targets.iter().map(|target| target.join("::"));
            format!("{} -> {:?}", from.join("::"), targets.collect::<Vec<_>>())
        });
        told.collect()
    }
}

#[test]
fn no_import_goes_in_a_circle() {
    let mut wrong = Vec::new();
    for (name, least) in [
        ("core", 200),
        ("host", 200),
        ("firmware-sim/sim", 5),
        ("firmware-sim/firmware", 5),
        ("tests", 10),
        ("fuzz", 5),
    ] {
        let source = root().join(name).join("src");
        let read = Crate::read(&source);
        let imports: usize = read.paths.values().map(Vec::len).sum();
        assert!(imports >= least, "{name}: only {imports} paths are read");
        wrong.extend(
            read.circles()
                .into_iter()
                .map(|told| format!("{name}: {told}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn circles_are_found() {
    let circles = |files: &[(&str, &str)]| {
        let module = |name: &str| -> Names {
            let names = name.split("::").filter(|name| !name.is_empty());
            names.map(str::to_owned).collect()
        };
        let files = files
            .iter()
            .map(|(name, text)| (module(name), (*text).to_owned()));
        Crate::new(files).circles().len()
    };
    let root = ("", "pub mod a; mod b;");
    // A folder's face names its files, and they the face.
    let face = (
        "a",
        "mod x; mod y; pub use x::X; pub(crate) use y::{Y, Z as W}; struct A;",
    );
    let x = ("a::x", "use super::{A, W}; // use crate::b::B;");
    let y = (
        "a::y",
        "pub(in crate::a) struct Y; #[cfg(test)] mod tests { use crate::b::B; }",
    );
    assert_eq!(
        circles(&[root, face, x, y, ("b", "use crate::a::{X, Y};")]),
        0
    );
    // Through the face, to the file beside.
    assert_eq!(
        circles(&[root, face, x, ("a::y", "fn f() -> super::X {}")]),
        2
    );
    // Between folders, by different files.
    let b = ("b", "struct B; mod tool {\n use crate::a::{self, x::X}; }");
    assert_eq!(
        circles(&[root, face, x, ("a::y", "use crate::{b::B as C};"), b]),
        2
    );
}

/// What `core` gives its users beside [`stria_core::link`].
const FACE: &str = "\
    About Activation AnswerClient Application Budget Chunks Claim Client Counters DriveError Error Frame FrameBuf HEADER InputSpec \
    Kernel Kind LargeClient Layer LayerCounters LayerError MAX_FRAME MAX_IMAGE_CHANNELS MAX_NAME MAX_PAYLOAD \
    Memory Network NetworkLayer Observer Operations Packing Party PeerError Phase Pool Server Settings Shown \
    Skip SlotClient SmallClient T_BITS Ticket TicketError TicketId Tickets Usage VERSION WeightMemory Welcome Whole drive drive_async \
    is_clean loopback normalise read_frame read_frame_async softmax_in_place write_failure";

#[test]
fn the_face_of_core_is_known() {
    let text = code(&fs::read_to_string(root().join("core/src/lib.rs")).unwrap());
    let public = |before: &str| before.ends_with("pub ") && !before.contains("\"unstable\"");
    let (uses, _) = uses(&text);
    let uses = uses.into_iter().filter(|(before, _)| public(before));
    let names = uses.flat_map(|(_, tree)| leaves(tree, &[]));
    let mut names: Vec<String> = names.map(|(_, name)| name).collect();
    names.sort_unstable();
    assert_eq!(names.join(" "), FACE);
    assert!(names.len() <= 60);
    let modules: Vec<_> = text
        .split(';')
        .filter(|item| item.contains("pub mod "))
        .collect();
    let open = modules.iter().filter(|item| !item.contains("\"unstable\""));
    assert_eq!(
        open.map(|item| item.trim()).collect::<Vec<_>>(),
        ["pub mod link"]
    );
}

#[test]
fn a_walk_of_one_activation_is_short() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    for (party, most) in [("Client", 14), ("Server", 12)] {
        let (_, list) = page.split_once(&format!("### {party}\n")).unwrap();
        let list = list
            .trim_start()
            .lines()
            .take_while(|line| !line.is_empty());
        let files: Vec<&str> = list
            .map(|line| {
                let (number, rest) = line.split_once(". `").unwrap();
                assert!(number.parse::<usize>().is_ok(), "{line}");
                rest.split_once('`').unwrap().0
            })
            .collect();
        assert!(
            (8..=most).contains(&files.len()),
            "{party}: {}",
            files.len()
        );
        for file in files {
            assert!(
                file.starts_with("core/src/") && root().join(file).is_file(),
                "{file}"
            );
        }
    }
}
