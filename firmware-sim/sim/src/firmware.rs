//! Builds the firmware, and measures what it takes on the board.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::LazyLock;

use anyhow::{Context, bail};
use object::read::elf::{ElfFile32, ElfSection32, ProgramHeader as _, SectionHeader as _};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

/// A board of the list, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Board {
    /// A board in QEMU.
    Emulated(&'static Facts),
    /// No board: the same client in this process, without QEMU.
    Hosted,
}

/// What the list says of a board.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Its name, which is that of its module and memory map.
    pub name: &'static str,
    /// What Rust calls its processor.
    target: &'static str,
    /// What its firmware can do.
    pub program: Program,
    /// QEMU's name and its arguments for the board.
    pub qemu: Vec<&'static str>,
}

/// What a board's firmware can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    /// It prepares and answers.
    Client,
    /// It redeems tickets.
    Answers,
}

/// The list, which the firmware's build reads too.
const LIST: &str = include_str!("../../boards.txt");
const HOSTED: &str = "hosted";

impl Facts {
    fn of(line: &'static str) -> Option<Self> {
        let mut words = line.split_whitespace();
        Some(Self {
            name: words.next()?,
            target: words.next()?,
            program: match words.next()? {
                "client" => Program::Client,
                "answers" => Program::Answers,
                _ => return None,
            },
            qemu: words.collect(),
        })
    }
}

impl Board {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        static FACTS: LazyLock<Vec<Facts>> = LazyLock::new(|| {
            let lines = LIST.lines().filter(|line| !line.starts_with('#'));
            lines.filter_map(Facts::of).collect()
        });
        FACTS.iter().map(Self::Emulated).chain([Self::Hosted])
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Emulated(facts) => facts.name,
            Self::Hosted => HOSTED,
        }
    }

    /// Whether it needs tickets.
    pub fn redeems(self) -> bool {
        matches!(self, Self::Emulated(facts) if facts.program == Program::Answers)
    }
}

impl FromStr for Board {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        let names = || Self::all().map(Self::name).collect::<Vec<_>>().join(", ");
        let found = Self::all().find(|board| board.name() == name);
        found.with_context(|| format!("the boards are {}", names()))
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
    /// Bytes of RAM.
    pub ram: u64,
    /// Address of the picture.
    pub picture: u64,
    /// Where tickets stand, if the board redeems them.
    pub tickets: Option<Tickets>,
}

/// Where tickets stand in flash.
pub struct Tickets {
    /// Address of the first.
    pub at: u64,
    /// How many there is room for.
    pub count: usize,
    /// Bytes from one to the next.
    pub page: usize,
}

/// Builds it, after setting up the toolchain.
pub fn build(facts: &Facts) -> anyhow::Result<Firmware> {
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

    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    // As the script: relative to the repository.
    let target = root.join("..").join(target);
    let folder = target.join("firmware");
    let settings = std::fs::read_to_string(folder.join("env"))?;
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(root.join("firmware"))
        .args(["build", "--release", "--quiet", "--locked"])
        .args(["--target", facts.target])
        .env("STRIA_BOARD", facts.name)
        .env("CARGO_TARGET_DIR", folder.join("build"))
        // A coverage or sanitizer run of the host's is not the firmware's.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    for line in settings.lines() {
        let (key, value) = line.split_once('=').context("malformed env file")?;
        cargo.env(key, value);
    }
    if !cargo.status()?.success() {
        bail!("the firmware does not build for {}", facts.name);
    }
    let elf = folder
        .join("build")
        .join(facts.target)
        .join("release/stria-firmware");
    measure(elf.canonicalize()?)
}

/// Adds up what the program stores in flash, and what its statics take in RAM; reads the memory map's
/// symbols.
fn measure(elf: PathBuf) -> anyhow::Result<Firmware> {
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
        let writable = object::elf::SHF_ALLOC | object::elf::SHF_WRITE;
        let flags = section.elf_section_header().sh_flags(endian);
        flags & writable == writable && section.name() != Ok(".stack")
    };
    let ram_static = file
        .sections()
        .filter(in_ram)
        .map(|section| section.size())
        .sum();
    let symbol = |name: &str| {
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
        symbol.map(|symbol| symbol.address())
    };
    let known = |name: &str| symbol(name).with_context(|| format!("no symbol {name}"));
    let tickets = symbol("_ticket_page").map(|page| {
        let at = known("_tickets")?;
        anyhow::Ok(Tickets {
            at,
            count: ((known("_tickets_end")? - at) / page) as usize,
            page: page as usize,
        })
    });
    Ok(Firmware {
        flash,
        ram_static,
        ram: known("_ram_size")?,
        picture: known("_image")?,
        tickets: tickets.transpose()?,
        elf,
    })
}
