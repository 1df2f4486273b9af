//! Sessions over serial lines: ports, sockets that stand for them, and every kind of bad line.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::common::*;
use serialport::{SerialPort, TTYPort};
use stria_core::link::LinkError;
use stria_core::packing::Packing;
use stria_host::session::SessionError;
use stria_host::session::client::{ClientOptions, Connection, Window};
use stria_host::session::server::{ServerOptions, network};
use stria_host::transport::Listener;
use stria_host::transport::wire::{Quality, Wire};

/// A folder of its own for each test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("stria-serial-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn at(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// A server on a line's socket.
fn serving(path: &Path, options: ServerOptions) -> Host {
    let listener = Listener::serial(&at(path), 0).unwrap();
    Host::start(
        vec![listener],
        network(model(), Packing::Segment).unwrap(),
        options,
    )
}

fn connect(path: &Path) -> Result<Connection, SessionError> {
    let options = ClientOptions {
        window: Window::Small,
        ..patient()
    };
    Connection::connect(&format!("serial:{}", at(path)), options)
}

fn visit(path: &Path) {
    let mut session = connect(path).unwrap();
    classify(&mut session, 1).unwrap();
    classify(&mut session, 2).unwrap();
    session.finish().unwrap();
}

/// Moves bytes from one port to another until told to stop.
fn forward(mut from: TTYPort, mut to: TTYPort, stop: &AtomicBool) {
    let mut buffer = [0; 512];
    while !stop.load(Ordering::Relaxed) {
        // A time-out is no end.
        let count = from.read(&mut buffer).unwrap_or(0);
        let mut rest = &buffer[..count];
        while !rest.is_empty() && !stop.load(Ordering::Relaxed) {
            rest = &rest[to.write(rest).unwrap_or(0)..];
        }
    }
}

/// Two serial ports, joined; gone when dropped.
struct Cable {
    names: [String; 2],
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Cable {
    fn new() -> Self {
        let [(mut a, near), (mut b, far)] = [(); 2].map(|()| TTYPort::pair().unwrap());
        let names = [&near, &far].map(|port| port.name().unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        for port in [&mut a, &mut b] {
            port.set_timeout(Duration::from_millis(10)).unwrap();
        }
        let [a2, b2] = [&a, &b].map(|port| port.try_clone_native().unwrap());
        let threads = [(a, b), (b2, a2)].map(|(from, to)| {
            let stop = stop.clone();
            thread::spawn(move || forward(from, to, &stop))
        });
        Self {
            names,
            stop,
            threads: threads.into(),
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

#[test]
fn a_serial_port_is_served_next_to_tcp() {
    let cable = Cable::new();
    let listeners = vec![
        Listener::serial(&cable.names[0], 115_200).unwrap(),
        Listener::tcp("127.0.0.1:0").unwrap(),
    ];
    let tcp = listeners[1].address().unwrap().to_string();
    let options = ServerOptions {
        queries: 3,
        ..ServerOptions::default()
    };
    let host = Host::start(
        listeners,
        network(model(), Packing::Segment).unwrap(),
        options,
    );
    assert_eq!(host.address, format!("serial:{}", cable.names[0]));
    let device = format!("serial:{}", cable.names[1]);
    for _ in 0..2 {
        let mut session = Connection::connect(&device, patient()).unwrap();
        classify(&mut session, 1).unwrap();
        session.finish().unwrap();
        let end = host.ended();
        assert!(end.error.is_none(), "{:?}", end.error);
        assert_eq!(end.peer.to_string(), host.address);
        assert!(end.seconds_waited > 0.0 && end.seconds_waited < end.seconds);
    }
    // TCP has a budget of its own; the line has one for all its sessions.
    let mut other = Connection::connect(&tcp, patient()).unwrap();
    classify(&mut other, 1).unwrap();
    let mut session = Connection::connect(&device, patient()).unwrap();
    classify(&mut session, 1).unwrap();
    let told = classify(&mut session, 1).unwrap_err();
    assert!(
        told.to_string().contains("budget of queries is spent"),
        "{told}"
    );
}

/// As an adapter that is pulled out and put in again, known by a link to its latest name.
#[test]
fn a_port_that_was_unplugged_is_opened_again() {
    let folder = Folder::new("unplugged");
    let name = folder.join("adapter");
    let first = Cable::new();
    std::os::unix::fs::symlink(&first.names[0], &name).unwrap();
    let listener = Listener::serial(name.to_str().unwrap(), 115_200).unwrap();
    let host = Host::start(
        vec![listener],
        network(model(), Packing::Segment).unwrap(),
        ServerOptions::default(),
    );
    let visit = |cable: &Cable| {
        let device = format!("serial:{}", cable.names[1]);
        let mut session = Connection::connect(&device, patient()).unwrap();
        classify(&mut session, 1).unwrap();
        session.finish().unwrap();
        assert!(host.ended().error.is_none());
    };
    visit(&first);
    drop(first);
    let second = Cable::new();
    std::fs::remove_file(&name).unwrap();
    std::os::unix::fs::symlink(&second.names[0], &name).unwrap();
    visit(&second);
}

#[test]
fn bad_bytes_cost_only_time() {
    let folder = Folder::new("bad");
    let (device, server) = (folder.join("device"), folder.join("server"));
    let host = serving(&server, ServerOptions::default());
    let shape = Quality {
        loss: 50,
        noise: 50,
        ..Quality::default()
    };
    let wire = Wire::new(&device, &server, shape).unwrap();
    wire.disturb(&[0xA5; 3000]);
    let disturbed = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Garbage of all kinds, delimiters too, again and again.
            let garbage: Vec<u8> = (0..=255).cycle().take(700).collect();
            while disturbed.load(Ordering::Relaxed) {
                wire.disturb(&garbage);
                thread::sleep(Duration::from_millis(50));
            }
        });
        visit(&device);
        disturbed.store(false, Ordering::Relaxed);
    });
    assert!(host.ended().error.is_none());
    // And after it.
    visit(&device);
    assert!(host.ended().error.is_none());
    let [up, down] = wire.bytes();
    assert!(up > 100_000 && down > 100_000);
}

#[test]
fn a_line_of_a_given_speed() {
    let folder = Folder::new("slow");
    let (device, server) = (folder.join("device"), folder.join("server"));
    let host = serving(&server, ServerOptions::default());
    let shape = Quality {
        baud: 4_000_000,
        ..Quality::default()
    };
    let wire = Wire::new(&device, &server, shape).unwrap();
    let start = Instant::now();
    visit(&device);
    let seconds = start.elapsed().as_secs_f64();
    assert!(host.ended().error.is_none());
    // Each direction takes ten bits a byte.
    let longest = wire.bytes().into_iter().max().unwrap() as f64;
    assert!(seconds > longest * 10.0 / 4e6, "{seconds} s");
}

#[test]
fn a_line_pulled_for_a_moment_goes_on() {
    let folder = Folder::new("moment");
    let (device, server) = (folder.join("device"), folder.join("server"));
    let host = serving(&server, ServerOptions::default());
    let wire = Wire::new(&device, &server, Quality::default()).unwrap();
    let mut session = connect(&device).unwrap();
    thread::scope(|scope| {
        let running = scope.spawn(|| {
            (0..3).for_each(|seed| classify(&mut session, seed).unwrap());
            session.finish().unwrap();
        });
        for _ in 0..3 {
            wire.plug(false);
            thread::sleep(Duration::from_millis(100));
            wire.plug(true);
            thread::sleep(Duration::from_millis(300));
        }
        running.join().unwrap();
    });
    assert!(host.ended().error.is_none());
}

#[test]
fn a_line_pulled_for_good_frees_the_session() {
    let folder = Folder::new("good");
    let (device, server) = (folder.join("device"), folder.join("server"));
    let timeout = Duration::from_secs(3);
    let host = serving(
        &server,
        ServerOptions {
            timeout,
            sessions: 1,
            ..ServerOptions::default()
        },
    );
    let wire = Wire::new(&device, &server, Quality::default()).unwrap();
    let options = ClientOptions {
        timeout,
        ..patient()
    };
    let address = format!("serial:{}", at(&device));
    let mut session = Connection::connect(&address, options).unwrap();
    classify(&mut session, 1).unwrap();
    wire.plug(false);
    let start = Instant::now();
    let error = classify(&mut session, 2).unwrap_err();
    assert!(matches!(error, SessionError::Silent), "{error}");
    let end = host.ended();
    assert!(
        matches!(end.error, Some(SessionError::Silent)),
        "{:?}",
        end.error
    );
    assert!(start.elapsed() < timeout + LONG);
    drop(session);
    // The one session is free again, and the line is mended.
    wire.plug(true);
    visit(&device);
    assert!(host.ended().error.is_none());
}

#[test]
fn a_device_may_start_anew_at_any_time() {
    let folder = Folder::new("anew");
    let (device, server) = (folder.join("device"), folder.join("server"));
    let host = serving(&server, ServerOptions::default());
    let wire = Wire::new(&device, &server, Quality::default()).unwrap();
    let mut session = connect(&device).unwrap();
    classify(&mut session, 1).unwrap();
    // It loses power: nothing says goodbye.
    wire.plug(false);
    thread::sleep(Duration::from_millis(100));
    let lost = thread::spawn(move || drop(session));
    lost.join().unwrap();
    wire.plug(true);
    visit(&device);
    let error = host.error();
    let anew = matches!(
        error,
        SessionError::Link(LinkError::Reopened | LinkError::Reset)
    );
    assert!(anew, "{error}");
    assert!(host.ended().error.is_none());
}

#[test]
fn a_full_server_says_so_on_a_line() {
    let folder = Folder::new("full");
    let server = folder.join("server");
    let listeners = vec![
        Listener::tcp("127.0.0.1:0").unwrap(),
        Listener::serial(&at(&server), 0).unwrap(),
    ];
    let options = ServerOptions {
        sessions: 1,
        ..ServerOptions::default()
    };
    let host = Host::start(
        listeners,
        network(model(), Packing::Segment).unwrap(),
        options,
    );
    let first = Connection::connect(&host.address, patient()).unwrap();
    let told = connect(&server).err().unwrap();
    assert!(told.to_string().contains("limit of sessions"), "{told}");
    first.finish().unwrap();
    assert!(host.ended().error.is_none());
    visit(&server);
}

#[test]
fn a_line_that_is_not_there_is_an_error() {
    assert!(Listener::serial("/dev/there-is-no-such-port", 115_200).is_err());
    let error = Connection::connect("serial:/dev/there-is-no-such-port", patient());
    assert!(matches!(error, Err(SessionError::Connect { .. })));
    // Somebody else listens.
    let folder = Folder::new("taken");
    let server = folder.join("server");
    let _first = Listener::serial(&at(&server), 0).unwrap();
    assert!(Listener::serial(&at(&server), 0).is_err());
}

#[test]
fn nobody_at_the_other_end_is_an_error() {
    let folder = Folder::new("nobody");
    let socket = folder.join("socket");
    let _deaf = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let options = ClientOptions {
        timeout: Duration::from_millis(300),
        ..patient()
    };
    let error = Connection::connect(&format!("serial:{}", at(&socket)), options);
    assert!(matches!(error, Err(SessionError::Connect { .. })));
}
