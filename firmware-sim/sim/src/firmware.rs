//! Builds the firmware, and measures what it takes on the board.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use object::read::elf::{ElfFile32, ElfSection32, ProgramHeader as _};
use object::{Object as _, ObjectSection as _};

/// Where the client runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Board {
    /// Cortex-M4F.
    #[value(name = "mps2-an386")]
    Mps2An386,
    /// RV32IMAC.
    #[value(name = "riscv-virt")]
    RiscvVirt,
    /// No board: the same client in this process, without QEMU.
    #[value(name = "hosted")]
    Hosted,
}

/// What depends on an emulated board.
struct Facts {
    target: &'static str,
    /// Where the firmware's memory map puts RAM.
    ram: u64,
    /// Where it puts the picture.
    picture: u32,
}

impl Board {
    /// Its name, which is the firmware's feature.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mps2An386 => "mps2-an386",
            Self::RiscvVirt => "riscv-virt",
            Self::Hosted => "hosted",
        }
    }

    fn facts(self) -> anyhow::Result<Facts> {
        Ok(match self {
            Self::Mps2An386 => Facts {
                target: "thumbv7em-none-eabihf",
                ram: 0x2000_0000,
                picture: 0x0003_F000,
            },
            Self::RiscvVirt => Facts {
                target: "riscv32imac-unknown-none-elf",
                ram: 0x8010_0000,
                picture: 0x8003_F000,
            },
            Self::Hosted => bail!("there is no firmware for the hosted client"),
        })
    }
}

/// The toolchain or QEMU is missing and cannot be installed.
#[derive(Debug, thiserror::Error)]
#[error("the firmware cannot be built or run here: {0}")]
pub struct Incomplete(String);

/// A firmware that was built.
pub struct Firmware {
    /// The program.
    pub elf: PathBuf,
    /// Bytes of flash.
    pub flash: u64,
    /// Bytes of statics in RAM, without the stack.
    pub ram_static: u64,
    /// Address of the picture.
    pub picture: u32,
}

/// Builds it, after setting up the toolchain.
pub fn build(board: Board) -> anyhow::Result<Firmware> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize()?;
    let setup = Command::new("bash")
        .arg(root.join("setup.sh"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .context("cannot run firmware-sim/setup.sh")?;
    if !setup.status.success() {
        let said = String::from_utf8_lossy(&setup.stderr).trim().to_owned();
        return Err(Incomplete(said).into());
    }

    let facts = board.facts()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    // As the script: relative to the repository.
    let target = root.join("..").join(target);
    let folder = target.join("firmware");
    let settings = std::fs::read_to_string(folder.join("env"))?;
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(root.join("firmware"))
        .args(["build", "--release", "--quiet", "--locked"])
        .args(["--target", facts.target, "--features", board.name()])
        .env("CARGO_TARGET_DIR", folder.join("build"))
        // A coverage or sanitizer run of the host's is not the firmware's.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    for line in settings.lines() {
        let (key, value) = line.split_once('=').context("malformed env file")?;
        cargo.env(key, value);
    }
    if !cargo.status()?.success() {
        bail!("the firmware does not build for {}", board.name());
    }
    let elf = folder
        .join("build")
        .join(facts.target)
        .join("release/stria-firmware");
    let elf = elf.canonicalize()?;
    measure(&facts, elf)
}

/// Adds up what the program stores in flash, and what its statics take in RAM.
fn measure(facts: &Facts, elf: PathBuf) -> anyhow::Result<Firmware> {
    let bytes = std::fs::read(&elf)?;
    let file = ElfFile32::<object::Endianness>::parse(bytes.as_slice())?;
    let endian = file.endian();
    let segments = file.elf_program_headers().iter();
    let loaded = segments.filter(|segment| segment.p_type(endian) == object::elf::PT_LOAD);
    let flash = loaded
        .map(|segment| u64::from(segment.p_filesz(endian)))
        .sum();
    // The firmware measures its stack by itself.
    let in_ram = |section: &ElfSection32<'_, '_>| {
        section.address() >= facts.ram && section.name() != Ok(".stack")
    };
    let ram_static = file
        .sections()
        .filter(in_ram)
        .map(|section| section.size())
        .sum();
    Ok(Firmware {
        elf,
        flash,
        ram_static,
        picture: facts.picture,
    })
}
