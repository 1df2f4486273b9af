//! Gives the linker the board's memory map and the runtime's script.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let feature = |name: &str| env::var_os(format!("CARGO_FEATURE_{name}")).is_some();
    let (board, script) = match (feature("MPS2_AN386"), feature("RISCV_VIRT")) {
        (true, false) => ("mps2-an386", "link.x"),
        (false, true) => ("riscv-virt", "link.x"),
        _ => panic!("choose one board: --features mps2-an386 or --features riscv-virt"),
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let map = format!("memory/{board}.x");
    fs::copy(&map, out.join("memory.x")).expect("the memory map can be copied");
    println!("cargo:rustc-link-search={}", out.display());
    if board == "riscv-virt" {
        // riscv-rt's script does not include the map by itself.
        println!("cargo:rustc-link-arg-bins=-Tmemory.x");
    }
    println!("cargo:rustc-link-arg-bins=-T{script}");
    println!("cargo:rerun-if-changed={map}");
    println!("cargo:rerun-if-changed=build.rs");
}
