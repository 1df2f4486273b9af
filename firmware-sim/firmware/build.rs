//! Takes a board of the list `../boards.txt`: that of the variable STRIA_BOARD, or the first one of the
//! target. Gives the compiler its module and program, and the linker its memory map and script.

use std::path::PathBuf;
use std::{env, fs};

const LIST: &str = "../boards.txt";

fn main() {
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let (target, wanted) = (variable("TARGET"), env::var("STRIA_BOARD").ok());
    let list = fs::read_to_string(LIST).expect("the list of boards");
    let boards = list.lines().filter(|line| !line.starts_with('#'));
    let mut boards = boards.filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.next()?, words.next()?))
    });
    let chosen = |&(name, of, _): &(&str, &str, _)| match &wanted {
        Some(wanted) => name == wanted,
        None => of == target,
    };
    let Some((name, of, program)) = boards.find(chosen) else {
        panic!("no board {wanted:?} of the target {target} in {LIST}");
    };
    assert_eq!(of, target, "the target of {name}");

    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(variable("OUT_DIR"));
    let module = root.join(format!("src/board/{name}.rs"));
    let module = format!("#[path = {module:?}]\nmod machine;\n");
    fs::write(out.join("board.rs"), module).expect("the folder for what is made");
    println!("cargo:rustc-check-cfg=cfg(program, values(\"client\", \"answers\"))");
    println!("cargo:rustc-cfg=program=\"{program}\"");

    let map = format!("memory/{name}.x");
    fs::copy(&map, out.join("memory.x")).expect("the memory map can be copied");
    println!("cargo:rustc-link-search={}", out.display());
    if target.starts_with("riscv") {
        // riscv-rt's script does not include the map by itself.
        println!("cargo:rustc-link-arg-bins=-Tmemory.x");
    }
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rerun-if-env-changed=STRIA_BOARD");
    for file in [LIST, &map, "build.rs"] {
        println!("cargo:rerun-if-changed={file}");
    }
}
