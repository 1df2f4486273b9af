//! Tickets as users have them: `stria prepare`, `stria infer --tickets` and `stria serve --tickets`,
//! through restarts, crashes and full disks. `core/docs/design.md#tickets`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
#[cfg(feature = "test-seed")]
use std::time::{Duration, Instant};

use serde_json::Value;
use stria_core::{Ticket, Whole};

use super::command::{Folder, command, failure, json, only_json};

fn models(name: &str) -> PathBuf {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    models.join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A picture that the small model knows.
fn picture() -> PathBuf {
    let pictures = fs::read_dir(models("samples-fmnist")).unwrap();
    let mut pictures: Vec<PathBuf> = pictures.map(|entry| entry.unwrap().path()).collect();
    pictures.retain(|path| path.extension().is_some_and(|end| end == "png"));
    pictures.sort();
    pictures.remove(0)
}

/// A server of the small model, with its tickets in a folder.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    /// None if it ends before it listens.
    fn start(mut command: Command) -> Option<Self> {
        let process = command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = process.spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening") {
            line.clear();
            if log.read_line(&mut line).unwrap() == 0 {
                process.wait().unwrap();
                return None;
            }
        }
        // Nobody reads what it says later, which does not disturb it.
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let (_, address) = line.trim_end().split_once("address=").unwrap();
        Some(Self {
            process,
            address: address.into(),
        })
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The folders of both sides.
struct Sides {
    all: Folder,
    server: PathBuf,
    client: PathBuf,
}

impl Sides {
    fn new(name: &str) -> Self {
        let all = Folder::new(name);
        Self {
            server: all.0.join("server"),
            client: all.0.join("client"),
            all,
        }
    }

    fn serve(&self) -> Command {
        let model = models("strianet-fmnist-nano.safetensors");
        let socket = self.all.0.join("socket");
        let mut arguments = vec!["serve", "--unix", text(&socket), "--model", text(&model)];
        arguments.extend(["--tickets", text(&self.server)]);
        command(&arguments)
    }

    fn prepare(&self, server: &Server, count: &str) -> Command {
        let to = ["--connect", &server.address, "--out", text(&self.client)];
        command(&[&["prepare", "--json", "--count", count][..], &to].concat())
    }

    fn infer(&self, server: &Server) -> Command {
        let picture = picture();
        let tickets = ["--tickets", text(&self.client), "--json", text(&picture)];
        command(&[&["infer", "--connect", &server.address][..], &tickets].concat())
    }

    fn files(&self, of_server: bool) -> Vec<PathBuf> {
        let folder = if of_server {
            &self.server
        } else {
            &self.client
        };
        let entries = fs::read_dir(folder).into_iter().flatten();
        let paths = entries.map(|entry| entry.unwrap().path());
        let ticket = |path: &PathBuf| path.extension().is_some_and(|end| end == "ticket");
        paths.filter(ticket).collect()
    }
}

fn error(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn tickets_outlast_both_programs() {
    let sides = Sides::new("tickets");
    let server = Server::start(sides.serve()).unwrap();
    let report = only_json(sides.prepare(&server, "3").output().unwrap());
    assert_eq!(report["tickets"].as_array().unwrap().len(), 3);
    // Together they take 2 turns each, and 2.
    assert_eq!(report["together"], 3);
    assert_eq!(report["prepare"]["messages"], (2 * 3 + 2_u32).div_ceil(3));
    assert_eq!([true, false].map(|side| sides.files(side).len()), [3, 3]);
    server.kill();

    let list = json(&["tickets", "list", "--json", text(&sides.client)]);
    let tickets = list["tickets"].as_array().unwrap();
    assert_eq!(tickets.len(), 3);
    assert!(tickets.iter().all(|ticket| ticket["error"] == Value::Null));
    assert_eq!(tickets[0]["small"], false);
    let first = tickets[0]["file"].as_str().unwrap();
    let dropped = command(&["tickets", "drop", text(&sides.client), first]).output();
    assert!(dropped.unwrap().status.success());
    let again = failure(&["tickets", "drop", text(&sides.client), first]);
    assert!(again.contains("there is no ticket"), "{again}");

    let server = Server::start(sides.serve()).unwrap();
    let report = only_json(sides.infer(&server).output().unwrap());
    let image = &report["images"][0];
    assert_eq!(image["prepare"]["bytes_up"], 0);
    assert!(image["answer"]["bytes_up"].as_u64().unwrap() > 0);
    let name = image["name"].as_str().unwrap();
    let class = image["top"][0]["class"].as_str().unwrap();
    assert!(name.contains(class), "{name} is taken for {class}");
    assert_eq!([true, false].map(|side| sides.files(side).len()), [2, 1]);

    // One that goes to another device leaves the folder.
    only_json(sides.prepare(&server, "1").output().unwrap());
    let moved = sides.files(false).pop().unwrap();
    let out = sides.client.with_extension("exported");
    let export = |file: &Path| {
        let folder = text(&sides.client);
        let file = file.file_name().unwrap().to_str().unwrap();
        command(&["tickets", "export", folder, file, "--out", text(&out)])
            .output()
            .unwrap()
    };
    assert!(export(&moved).status.success());
    let ticket = fs::read(&out).unwrap();
    assert!(Ticket::<Whole>::read(&ticket).is_ok() && !moved.exists());
    assert!(error(&export(&moved)).contains("there is no ticket"));
    let other = sides.files(false).pop().unwrap();
    assert!(error(&export(&other)).contains("cannot write"));
    assert_eq!((fs::read(&out).unwrap(), other.exists()), (ticket, true));

    // A copy of the client's file is no ticket.
    let last = sides.files(false).remove(0);
    let copy = fs::read(&last).unwrap();
    let beside = last.with_file_name("copy.ticket");
    fs::write(&beside, &copy).unwrap();
    fs::remove_file(&last).unwrap();
    let said = error(&sides.infer(&server).output().unwrap());
    assert!(said.contains("a copy of a ticket"), "{said}");
    assert!(said.contains("no tickets left"), "{said}");
    // Nor is one of the server's, whatever else is in its folder.
    only_json(sides.prepare(&server, "1").output().unwrap());
    let of_server = sides.files(true);
    for path in of_server {
        let copy = fs::read(&path).unwrap();
        fs::rename(&path, path.with_extension("kept")).unwrap();
        fs::write(&path, copy).unwrap();
    }
    let said = error(&sides.infer(&server).output().unwrap());
    assert!(said.contains("it has no such ticket"), "{said}");
    assert!(said.contains("no tickets left"), "{said}");
    assert_eq!(sides.files(false), [beside]);
    let all = command(&["tickets", "drop", "--all", text(&sides.client)]).output();
    assert!(all.unwrap().status.success());
}

/// A file that is too large for the disk leaves nothing behind, and the server goes on.
#[test]
fn a_full_disk_leaves_no_half_ticket() {
    let limited = |command: Command| {
        let mut shell = Command::new("sh");
        // Blocks of 512 or 1024 bytes: less than a ticket, more than a client's name.
        let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"";
        shell.args(["-c", script]).arg(command.get_program());
        shell.args(command.get_args());
        shell.env_remove("RUST_LOG").env_remove("STRIA_TEST_SEED");
        shell
    };
    let sides = Sides::new("full");
    let server = Server::start(sides.serve()).unwrap();
    let said = error(&limited(sides.prepare(&server, "1")).output().unwrap());
    assert!(said.contains("cannot store a ticket"), "{said}");
    assert_eq!(sides.files(false).len(), 0);
    server.kill();

    let server = Server::start(limited(sides.serve())).unwrap();
    let had = sides.files(true).len();
    for _ in 0..2 {
        let said = error(&sides.prepare(&server, "1").output().unwrap());
        assert!(
            said.contains("could not store or read the ticket"),
            "{said}"
        );
    }
    assert_eq!([true, false].map(|side| sides.files(side).len()), [had, 0]);
    let left = fs::read_dir(&sides.server).unwrap();
    let left = left.map(|entry| entry.unwrap().path());
    assert!(
        left.into_iter()
            .all(|path| path.extension().is_none_or(|end| end != "tmp"))
    );
}

/// Both sides end between any two of their durable steps, as by kill -9: a ticket is answered once or
/// is dead.
#[test]
#[cfg(feature = "test-seed")]
fn a_crash_never_gives_a_second_answer() {
    let crashing = |mut command: Command, at: Option<u32>| {
        if let Some(at) = at {
            command.env("STRIA_TEST_CRASH", at.to_string());
        }
        command
    };
    // Until so many steps are more than there are.
    let mut answers = [0, 0];
    for side in 0..3 {
        let mut steps = 0..40;
        let crashes = steps.find(|&step| {
            let at = |of| (of == side).then_some(step);
            let sides = Sides::new(&format!("crash-{side}-{step}"));
            let server = Server::start(crashing(sides.serve(), at(0)));
            let mut ended = server.is_none();
            let mut server = server.or_else(|| Server::start(sides.serve())).unwrap();
            let mut run = |server: &mut Server, mut command: Command| {
                let output = command.output().unwrap();
                let crashed = output.status.code().is_none();
                // The client may be told that its connection is gone before the server is, once.
                let may_go = side == 0 && !ended && !output.status.success();
                let wait = Duration::from_secs(if may_go { 2 } else { 0 });
                let since = Instant::now();
                let gone = loop {
                    let gone = server.process.try_wait().unwrap().is_some();
                    if gone || since.elapsed() >= wait {
                        break gone;
                    }
                    thread::sleep(Duration::from_millis(20));
                };
                ended |= crashed || gone;
                if gone {
                    *server = Server::start(sides.serve()).unwrap();
                }
                output.status.success()
            };
            let prepare = crashing(sides.prepare(&server, "1"), at(1));
            run(&mut server, prepare);
            let had = sides.files(false).len();
            let mut answered = 0;
            let infer = crashing(sides.infer(&server), at(2));
            answered += usize::from(run(&mut server, infer));
            let infer = sides.infer(&server);
            answered += usize::from(run(&mut server, infer));
            assert!(answered <= had, "a second answer: side {side}, step {step}");
            assert_eq!(sides.files(false).len(), 0, "side {side}, step {step}");
            answers[answered] += 1;
            // What the server still has, it can still give: nobody asks for it.
            assert!(sides.files(true).len() <= 1);
            !ended
        });
        // At least: writing a file, and taking one away.
        assert!(crashes.unwrap() >= 4, "side {side} has {crashes:?} steps");
    }
    assert!(answers[0] > 0 && answers[1] > 0, "{answers:?}");
}
