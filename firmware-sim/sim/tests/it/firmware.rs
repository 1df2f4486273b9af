//! The firmware in QEMU: right results, memory, instruction counts, and bad lines. Ignored unless
//! STRIA_REQUIRE_FIRMWARE is set; then the toolchain and QEMU must be there or be installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, Once};
use std::thread;

use object::read::elf::ElfFile32;
use object::{Object as _, ObjectSymbol, SymbolKind};
use serde_json::Value;

use super::common::{agreed, models, number, run};

const SEED: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const FLASH: u64 = 256 << 10;

/// Installs what the firmware needs to be built and run, where it is not there.
fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("../setup.sh");
        let output = Command::new("bash").arg(setup).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    });
}

fn nano() -> String {
    let path = models().join("strianet-fmnist-nano.safetensors");
    path.to_str().unwrap().into()
}

/// Statics and the deepest stack fit, and the stack has not come near its guard.
fn assert_fits(report: &Value, ram: u64) {
    let [statics, peak, stack] =
        ["/ram_static", "/ram_stack_peak", "/ram_stack_size"].map(|path| number(report, path));
    assert!(statics > 4 << 10 && peak > 1 << 10, "{report}");
    assert_eq!(number(report, "/ram"), ram);
    assert!(statics + stack <= ram && peak + 1024 <= stack, "{report}");
    assert!(number(report, "/flash") <= FLASH, "{report}");
}

/// The samples of the small network, by class.
fn pictures() -> Vec<PathBuf> {
    let files = std::fs::read_dir(models().join("samples-fmnist")).unwrap();
    let mut pictures: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    pictures.retain(|path| path.extension().is_some_and(|extension| extension == "png"));
    assert_eq!(pictures.len(), 10);
    pictures.sort();
    pictures
}

/// Runs them on a board, two at a time: most of a run is waiting for the emulated UART.
fn run_all(pictures: Vec<PathBuf>, board: &str, check: impl Fn(&Value) + Sync) {
    set_up();
    let (pictures, nano) = (Mutex::new(pictures), nano());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(picture) = pictures.lock().unwrap().pop() else {
                        return;
                    };
                    let picture = picture.to_str().unwrap();
                    let arguments = ["--model", &nano, "--image", picture, "--board", board];
                    let report = run(&arguments);
                    agreed(&report);
                    assert_eq!(report["board"], board);
                    assert_eq!(report["activations"], 3872);
                    check(&report);
                }
            });
        }
    });
}

#[test]
#[cfg_attr(
    not(require_firmware),
    ignore = "needs QEMU: set STRIA_REQUIRE_FIRMWARE"
)]
fn pictures_on_a_cortex_m4() {
    // Two classes, for the sake of time; a third is below.
    let pictures = pictures().into_iter().step_by(4).skip(1).collect();
    run_all(pictures, "mps2-an386", |report| {
        assert_fits(report, 64 << 10);
    });
}

/// The client that redeems tickets, in 16 KiB.
#[test]
#[cfg_attr(
    not(require_firmware),
    ignore = "needs QEMU: set STRIA_REQUIRE_FIRMWARE"
)]
fn ten_pictures_on_a_cortex_m0() {
    run_all(pictures(), "microbit", |report| {
        assert_fits(report, 16 << 10);
        // One of two is spent.
        assert_eq!(report["tickets_left"], 1);
        for what in ["keygen", "base_ot", "prepare_per_activation"] {
            assert_eq!(number(report, &format!("/instructions/{what}")), 0);
        }
    });
}

/// A ticket whose answer the line interrupts is spent; the next one answers.
#[test]
#[cfg_attr(
    not(require_firmware),
    ignore = "needs QEMU: set STRIA_REQUIRE_FIRMWARE"
)]
fn an_interrupted_answer_costs_a_ticket() {
    set_up();
    let line = ["--pull", "1200", "--pull-seconds", "13", "--timeout", "5"];
    let report = run(&[&["--board", "microbit"][..], &line].concat());
    agreed(&report);
    assert_eq!(report["tickets_left"], 0);
    let errors = |name: &str| report[name].as_array().unwrap().len();
    assert_eq!(
        ["device_errors", "server_errors"].map(errors),
        [1, 1],
        "{report}"
    );
}

/// Tickets that the server does not take stand in nobody's way.
#[test]
#[cfg_attr(
    not(require_firmware),
    ignore = "needs QEMU: set STRIA_REQUIRE_FIRMWARE"
)]
fn stale_tickets_are_passed_over() {
    set_up();
    let report = run(&["--board", "microbit", "--stale", "4"]);
    agreed(&report);
    // Those of a network that may come back are kept.
    assert_eq!(report["tickets_left"], 5);
    assert_eq!(report["device_errors"].as_array().unwrap().len(), 4);
}

/// No encryption and no transfer is in the program that redeems tickets: of those modules it has no
/// function, whereas the other program has.
#[test]
#[cfg_attr(
    not(require_firmware),
    ignore = "needs QEMU: set STRIA_REQUIRE_FIRMWARE"
)]
fn no_encryption_and_no_transfer_on_a_cortex_m0() {
    let functions = |board: &str, target: &str| -> Vec<String> {
        run(&["--board", board]);
        let folder = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let build = root.join(folder).join("firmware/build").join(target);
        let elf = std::fs::read(build.join("release/stria-firmware")).unwrap();
        let file = ElfFile32::<object::Endianness>::parse(&*elf).unwrap();
        let code = |symbol: &_| ObjectSymbol::kind(symbol) == SymbolKind::Text;
        let name =
            |symbol| rustc_demangle::demangle(ObjectSymbol::name(&symbol).unwrap()).to_string();
        file.symbols().filter(code).map(name).collect()
    };
    let modules = [
        "arith::transform",
        "ot",
        "rlwe",
        "protocol::activation::client",
        "protocol::client::prepare",
        "protocol::client::setup",
        "protocol::linear",
    ];
    let has = |functions: &[String], module: &str| {
        let module = format!("stria_core::{module}::");
        functions.iter().any(|function| function.contains(&module))
    };
    let whole = functions("mps2-an386", "thumbv7em-none-eabihf");
    let answers = functions("microbit", "thumbv6m-none-eabi");
    assert!(has(&answers, "protocol::activation") && has(&answers, "relu"));
    for module in modules {
        assert!(has(&whole, module), "no function of {module} in either");
        assert!(!has(&answers, module), "functions of {module}");
    }
}

/// Instructions of the nano network on a board, as measured last. Growth beyond 5 % fails; so does
/// a gain of that size until it is written down here and in the README.
struct Recorded {
    board: &'static str,
    counts: &'static [(&'static str, u64)],
}

const RECORDED: [Recorded; 3] = [
    Recorded {
        board: "mps2-an386",
        counts: &[
            ("keygen", 6_940_000),
            ("encrypt_per_ciphertext", 6_151_000),
            ("decrypt_per_ciphertext", 1_392_000),
            ("base_ot", 9_151_000),
            ("prepare_per_activation", 14_239),
            ("answer_per_activation", 1_451),
        ],
    },
    Recorded {
        board: "riscv-virt",
        counts: &[
            ("keygen", 9_634_000),
            ("encrypt_per_ciphertext", 8_739_000),
            ("decrypt_per_ciphertext", 2_210_000),
            ("base_ot", 13_311_000),
            ("prepare_per_activation", 19_973),
            ("answer_per_activation", 1_916),
        ],
    },
    Recorded {
        board: "microbit",
        counts: &[("answer_per_activation", 4_691)],
    },
];

fn instructions_have_not_grown(recorded: &Recorded) {
    set_up();
    let picture = models().join("samples-fmnist/00-t-shirt.png");
    let arguments = [
        "--image",
        picture.to_str().unwrap(),
        "--board",
        recorded.board,
    ];
    let nano = nano();
    let report = run(&[&["--model", &nano, "--seed", SEED][..], &arguments].concat());
    assert_eq!(agreed(&report), 0);
    if recorded.board == "mps2-an386" {
        // What the project promises.
        assert!(number(&report, "/instructions/encrypt_per_ciphertext") <= 8_000_000);
        assert!(number(&report, "/instructions/decrypt_per_ciphertext") <= 2_000_000);
        assert!(number(&report, "/instructions/prepare_per_activation") <= 15_000);
        assert!(number(&report, "/instructions/answer_per_activation") <= 1_500);
    }
    for &(name, before) in recorded.counts {
        let now = number(&report, &format!("/instructions/{name}"));
        let range = before * 95 / 100..=before * 105 / 100;
        assert!(range.contains(&now), "{name}: {now}, was {before}");
    }
}

#[test]
#[cfg_attr(
    not(require_firmware),
    ignore = "needs QEMU: set STRIA_REQUIRE_FIRMWARE"
)]
fn instructions_on_a_cortex_m4() {
    instructions_have_not_grown(&RECORDED[0]);
}

#[test]
#[cfg_attr(
    not(require_firmware),
    ignore = "needs QEMU: set STRIA_REQUIRE_FIRMWARE"
)]
fn instructions_on_riscv() {
    instructions_have_not_grown(&RECORDED[1]);
}

#[test]
#[cfg_attr(
    not(require_firmware),
    ignore = "needs QEMU: set STRIA_REQUIRE_FIRMWARE"
)]
fn instructions_on_a_cortex_m0() {
    instructions_have_not_grown(&RECORDED[2]);
}

/// A tiny network, on a line with every fault that a line has.
#[test]
#[cfg_attr(
    not(require_firmware),
    ignore = "needs QEMU: set STRIA_REQUIRE_FIRMWARE"
)]
fn a_bad_line_costs_only_time() {
    set_up();
    let report = run(&["--loss", "100", "--noise", "100", "--pull", "150000"]);
    agreed(&report);
    // The line was back in time: not even a session was lost.
    assert_eq!(
        report["device_errors"].as_array().unwrap().len(),
        0,
        "{report}"
    );
    assert_eq!(
        report["server_errors"].as_array().unwrap().len(),
        0,
        "{report}"
    );
}

#[test]
#[cfg_attr(
    not(require_firmware),
    ignore = "needs QEMU: set STRIA_REQUIRE_FIRMWARE"
)]
fn a_device_whose_line_was_pulled_starts_again() {
    set_up();
    let pull = ["--pull", "150000", "--pull-seconds", "13", "--timeout", "5"];
    let report = run(&pull);
    agreed(&report);
    let errors = |name: &str| report[name].as_array().unwrap().clone();
    // The device calls it a dead line; the server has freed the session before.
    let [device, server] = ["device_errors", "server_errors"].map(errors);
    assert!(!device.is_empty() && server.len() == 1, "{report}");
    assert!(
        device[0].as_str().unwrap().contains("line is dead"),
        "{report}"
    );
    assert!(server[0].as_str().unwrap().contains("silent"), "{report}");
}

/// `cargo test -p stria-sim --test it -- --ignored cifar`
#[test]
#[ignore = "ten minutes"]
fn the_cifar_network_on_a_cortex_m4() {
    set_up();
    let model = models().join("strianet-c10.safetensors");
    let picture = models().join("samples/02-automobile.png");
    let report = run(&[
        "--model",
        model.to_str().unwrap(),
        "--image",
        picture.to_str().unwrap(),
    ]);
    assert_eq!(agreed(&report), 1);
    assert_eq!(report["activations"], 84_928);
    assert_fits(&report, 64 << 10);
    println!("{report:#}");
}
