//! Server and client over real sockets: good peers, and every kind of bad one.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::common::*;
use stria_core::packing::Packing;
use stria_core::protocol::frame::{HEADER, Kind, MAX_FRAME, write_reason};
use stria_core::protocol::network::{About, Network};
use stria_core::{Error as ProtocolError, PeerError};
use stria_host::session::SessionError;
use stria_host::session::client::{ClientOptions, Connection, Window};
use stria_host::session::local::Local;
use stria_host::session::server::{self, Ended, ServerOptions, WEIGHT_MEMORY, serve};
use stria_host::transport::{FrameSocket, Listener};

/// What an impatient side waits.
const SHORT: Duration = Duration::from_millis(300);

fn connect(address: SocketAddr) -> Result<Connection, SessionError> {
    Connection::connect(&address.to_string(), patient())
}

/// A whole session with one inference.
fn visit(address: SocketAddr) -> Result<(), SessionError> {
    let mut session = connect(address)?;
    classify(&mut session, 7)?;
    session.finish()
}

/// A server on TCP.
fn serving(options: ServerOptions) -> Host {
    with(server::network(model(), Packing::Segment).unwrap(), options)
}

fn with(network: Network, options: ServerOptions) -> Host {
    Host::start(
        vec![Listener::tcp("127.0.0.1:0").unwrap()],
        network,
        options,
    )
}

#[derive(Clone, Default)]
struct Fault {
    /// Bytes after which the line breaks.
    cut: Option<usize>,
    /// Bytes that become something else on their way.
    patch: Option<(Range<usize>, u8)>,
}

/// A line to `server` with a fault in each direction (up, down), for one client; gives what went
/// over it.
fn faulty(server: SocketAddr, faults: [Fault; 2]) -> (SocketAddr, JoinHandle<[Vec<u8>; 2]>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let [up, down] = faults;
    let thread = thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = TcpStream::connect(server).unwrap();
        let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let up = thread::spawn(move || pump(ends.0, server, &up));
        let down = pump(ends.1, client, &down);
        [up.join().unwrap(), down]
    });
    (address, thread)
}

fn pump(mut from: TcpStream, mut to: TcpStream, fault: &Fault) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1 << 14];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let start = bytes.len();
        bytes.extend_from_slice(&buffer[..count]);
        if let Some((range, value)) = &fault.patch {
            let end = range.end.min(bytes.len());
            bytes[range.start.min(end)..end].fill(*value);
        }
        let cut = fault.cut.filter(|&cut| cut <= bytes.len());
        let sent = to.write_all(&bytes[start..cut.unwrap_or(bytes.len())]);
        if cut.is_some() {
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        }
        if cut.is_some() || sent.is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    bytes
}

/// Both directions of a good session: an inference and a goodbye.
fn recorded() -> &'static [Vec<u8>; 2] {
    static BYTES: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    BYTES.get_or_init(|| {
        let host = serving(ServerOptions::default());
        let (address, bytes) = faulty(host.tcp(), Default::default());
        visit(address).unwrap();
        bytes.join().unwrap()
    })
}

/// Kind and place of every frame.
fn frames(bytes: &[u8]) -> Vec<(u8, Range<usize>)> {
    let mut frames = Vec::new();
    let mut start = 0;
    while let Some(&[kind, low, high]) = bytes[start..].first_chunk::<HEADER>() {
        let end = start + HEADER + usize::from(u16::from_le_bytes([low, high]));
        frames.push((kind, start..end));
        start = end;
    }
    assert_eq!(start, bytes.len());
    frames
}

/// The payload of the nth frame of a kind.
fn payload(bytes: &[u8], kind: Kind, nth: usize) -> Range<usize> {
    let mut frames = frames(bytes).into_iter().filter(|f| f.0 == kind as u8);
    let (_, frame) = frames.nth(nth).unwrap();
    frame.start + HEADER..frame.end
}

#[track_caller]
fn assert_says(error: &SessionError, part: &str) {
    let text = error.to_string();
    assert!(text.contains(part), "{text:?} lacks {part:?}");
}

#[test]
fn every_packing_gives_right_logits() {
    for packing in Packing::ALL {
        let network = server::network(model(), packing).unwrap();
        let host = with(network, ServerOptions::default());
        let options = ClientOptions {
            packing,
            ..patient()
        };
        let mut session = Connection::connect(&host.tcp().to_string(), options).unwrap();
        for seed in [1, 2] {
            classify(&mut session, seed).unwrap();
        }
        session.finish().unwrap();
        let end = host.ended();
        assert!(end.error.is_none(), "{:?}", end.error);
        let slot = packing == Packing::Slot;
        assert_eq!(end.counters.rotations() > 0, slot);
        assert_eq!(end.counters.galois_key_bytes() > 0, slot);
    }
}

#[test]
fn a_client_of_another_packing_is_told() {
    for (serves, asks) in [
        (Packing::Slot, Packing::Segment),
        (Packing::Segment, Packing::Slot),
        (Packing::Coefficient, Packing::Slot),
    ] {
        let network = server::network(model(), serves).unwrap();
        let host = with(network, ServerOptions::default());
        let options = ClientOptions {
            packing: asks,
            ..patient()
        };
        let refused = Connection::connect(&host.tcp().to_string(), options);
        assert_says(
            &refused.err().unwrap(),
            "another packing than this client's",
        );
        let error = host.ended().error.unwrap();
        assert_says(&error, "parameter set");
    }
    let host = serving(ServerOptions::default());
    let options = ClientOptions {
        packing: Packing::Slot,
        window: Window::Small,
        ..patient()
    };
    let refused = Connection::connect(&host.tcp().to_string(), options);
    assert_says(&refused.err().unwrap(), "no room for slot packing");
}

#[test]
fn good_clients_get_right_logits() {
    let host = serving(ServerOptions::default());
    for window in [Window::Small, Window::Large] {
        let options = ClientOptions {
            window,
            ..patient()
        };
        let mut session = Connection::connect(&host.tcp().to_string(), options).unwrap();
        assert_eq!(session.classes(), ["cat", "dog", "eel"]);
        let mut bytes = session.setup_bytes();
        for seed in [1, 2] {
            let inference = session.infer(&image(seed)).unwrap();
            assert_right(&image(seed), &inference.logits);
            bytes += inference.bytes_up + inference.bytes_down;
        }
        session.finish().unwrap();
        let end = host.ended();
        assert!(end.error.is_none(), "{:?}", end.error);
        assert_eq!(end.counters.queries, 2);
        let goodbye = HEADER as u64;
        assert_eq!(end.bytes_up + end.bytes_down, bytes + goodbye);
    }
}

#[test]
fn clients_at_the_same_time_do_not_disturb_each_other() {
    let host = serving(ServerOptions::default());
    let mut first = connect(host.tcp()).unwrap();
    let mut second = connect(host.tcp()).unwrap();
    for seed in 0..2 {
        let other = thread::spawn(move || classify(&mut second, seed + 10).map(|()| second));
        classify(&mut first, seed).unwrap();
        second = other.join().unwrap().unwrap();
    }
    first.finish().unwrap();
    second.finish().unwrap();
}

#[test]
fn garbage_ends_its_own_session_only() {
    let host = serving(ServerOptions::default());
    let mut good = connect(host.tcp()).unwrap();
    let hello = &recorded()[0][frames(&recorded()[0])[0].1.clone()];
    let mut failure = [0; MAX_FRAME];
    let failure_len = write_reason(&mut failure, PeerError::Other);
    let cases: [(&[u8], &str); 12] = [
        (b"", "closed the line"),
        (b"\x01", "closed the line"),
        (&hello[..hello.len() - 1], "closed the line"),
        (b"GET / HTTP/1.1\r\n\r\n", "must carry 1024 bytes"),
        (&[0xff; 5000], "must carry 1024 bytes"),
        (&[0; 5000], "got kind 0"),
        (b"\x0a\0\0", "expected a frame of kind 1, got kind 10"),
        (b"\x01\x05\0\x06bcde", "malformed greeting"),
        (b"\x18\x05\0\x06bcde", "malformed greeting"),
        (b"\x18\x02\0\x04b", "speaks protocol version 4"),
        (b"\x01\x02\0\x63\x07", "speaks protocol version 99"),
        (&failure[..failure_len], "the peer ended the session"),
    ];
    for (i, (bytes, part)) in cases.into_iter().enumerate() {
        let mut stream = host.raw();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_says(&host.error(), part);
        // It hangs up, whether with a last word or without.
        let _ = stream.read_to_end(&mut Vec::new());
        classify(&mut good, i as u64).unwrap();
    }
    visit(host.tcp()).unwrap();
}

#[test]
fn a_line_may_break_at_any_frame() {
    let host = serving(ServerOptions::default());
    let mut good = connect(host.tcp()).unwrap();
    for (direction, bytes) in recorded().iter().enumerate() {
        let frames = frames(bytes);
        for i in 0..12 {
            // From the first frame on; after the last two, a side may have all that it needs.
            let (_, frame) = &frames[i * (frames.len() - 3) / 11];
            // Between frames, inside of a header, inside of a payload.
            let inside = [0, 1, HEADER + 1][i % 3];
            let mut faults = [Fault::default(), Fault::default()];
            faults[direction].cut = Some(frame.end + inside);
            let (address, _) = faulty(host.tcp(), faults);
            for error in [visit(address).unwrap_err(), host.error()] {
                let place = format!("direction {direction}, {i}: {error}");
                assert!(matches!(error, SessionError::Closed), "{place}");
            }
            classify(&mut good, i as u64).unwrap();
        }
    }
    visit(host.tcp()).unwrap();
}

#[test]
fn a_changed_frame_is_found_and_both_sides_say_so() {
    use Kind::*;
    const BROKEN: &str = "it received something that breaks the protocol";
    let host = serving(ServerOptions::default());
    let mut good = connect(host.tcp()).unwrap();
    let [up, down] = recorded();
    let first = |range: Range<usize>| range.start..range.start + 1;
    let header = |range: Range<usize>| range.start - HEADER..range.start - HEADER + 1;
    let length = |range: Range<usize>| range.start - 2..range.start;
    // What the client sends: place, value, what the server finds, what the client is told.
    let residue = "is not below its modulus";
    let mismatch = "base transfer keys do not match";
    let from_client = [
        (first(payload(up, Hello, 0)), 9, "version 9", "version"),
        (payload(up, Limb, 0), 0xff, residue, BROKEN),
        (payload(up, Limb, 70), 0xff, residue, BROKEN),
        (payload(up, Limb, 2 * 64), 0xff, residue, BROKEN),
        (header(payload(up, Replies, 0)), 77, "got kind 77", BROKEN),
        (length(payload(up, Seed, 0)), 0xff, "got 65535", BROKEN),
    ];
    let from_server = [
        (first(payload(down, Welcome, 0)), 9, "version 9", "version"),
        (
            payload(down, Label, 1),
            0xff,
            "malformed class name",
            BROKEN,
        ),
        (payload(down, ResponseC1, 0), 0xff, residue, BROKEN),
        (payload(down, BaseMessages, 0), 0, mismatch, BROKEN),
        (payload(down, Layer, 0), 0xff, "malformed layer", BROKEN),
        (header(payload(down, Answers, 0)), 15, "got kind 15", BROKEN),
        (payload(down, Logits, 0), 0xff, residue, BROKEN),
    ];
    for (range, value, server, client) in from_client {
        let patch = Some((range, value));
        let up = Fault { cut: None, patch };
        let (address, _) = faulty(host.tcp(), [up, Fault::default()]);
        assert_says(&visit(address).unwrap_err(), client);
        assert_says(&host.error(), server);
        classify(&mut good, 1).unwrap();
    }
    for (range, value, client, server) in from_server {
        let patch = Some((range, value));
        let down = Fault { cut: None, patch };
        let (address, _) = faulty(host.tcp(), [Fault::default(), down]);
        assert_says(&visit(address).unwrap_err(), client);
        assert_says(&host.error(), server);
        classify(&mut good, 1).unwrap();
    }
    visit(host.tcp()).unwrap();
}

#[test]
fn slow_clients_are_given_up() {
    let host = serving(ServerOptions {
        timeout: SHORT,
        ..ServerOptions::default()
    });
    let hello = &recorded()[0][frames(&recorded()[0])[0].1.clone()];
    type Behaviour<'a> = Box<dyn FnOnce(&mut TcpStream) + 'a>;
    let silent: [Behaviour; 3] = [
        Box::new(|_| ()),
        Box::new(|stream| stream.write_all(&hello[..2]).unwrap()),
        Box::new(|stream| stream.write_all(hello).unwrap()),
    ];
    let dribbling: Behaviour = Box::new(|stream| {
        for byte in hello {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    });
    for behave in silent.into_iter().chain([dribbling]) {
        let mut stream = host.raw();
        behave(&mut stream);
        let end = host.ended();
        assert!(
            matches!(end.error, Some(SessionError::Silent)),
            "{:?}",
            end.error
        );
        let closing = 1.0;
        let range = SHORT.as_secs_f64()..SHORT.as_secs_f64() + closing + 1.0;
        assert!(range.contains(&end.seconds), "{} s", end.seconds);
    }
}

#[test]
fn a_peer_that_stops_reading_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let _never_read = listener.accept().unwrap();
    let mut line = FrameSocket::new(Box::new(stream), SHORT, Arc::default()).unwrap();
    let start = Instant::now();
    let error = loop {
        match embedded_io::Write::write(&mut line, &[0; MAX_FRAME]) {
            Ok(_) => assert!(start.elapsed() < LONG),
            Err(error) => break SessionError::from(error),
        }
    };
    assert!(matches!(error, SessionError::Silent), "{error}");
}

/// As little as keeps a socket from timing out, which a frame would take minutes at.
#[test]
fn a_peer_that_reads_a_little_now_and_then_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                peer.read_exact(&mut [0]).unwrap();
                thread::sleep(Duration::from_millis(20));
            }
        });
        let mut line = FrameSocket::new(Box::new(stream), SHORT, Arc::default()).unwrap();
        let start = Instant::now();
        while embedded_io::Write::write(&mut line, &[0; MAX_FRAME]).is_ok() {
            assert!(start.elapsed() < LONG);
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn clients_beyond_the_limit_are_told() {
    let host = serving(ServerOptions {
        sessions: 1,
        ..ServerOptions::default()
    });
    let mut good = connect(host.tcp()).unwrap();
    for _ in 0..2 {
        let error = connect(host.tcp()).err().unwrap();
        assert_says(
            &error,
            "the peer ended the session because it is at its limit",
        );
    }
    let crowd: Vec<TcpStream> = (0..200).map(|_| host.raw()).collect();
    // Clients are accepted in order, so after this one the whole crowd was.
    assert!(connect(host.tcp()).is_err());
    classify(&mut good, 1).unwrap();
    good.finish().unwrap();
    assert!(host.ended().error.is_none());
    drop(crowd);
    // None of the refused ones counts as a session.
    assert!(host.ended.try_recv().is_err());
    visit(host.tcp()).unwrap();
}

/// One server on two listeners; the socket's file goes with it, and a stale one is replaced.
#[test]
#[cfg(unix)]
fn a_unix_socket_is_served_next_to_tcp() {
    let folder = std::env::temp_dir().join(format!("stria-net-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("socket");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listeners = [Listener::tcp("127.0.0.1:0"), Listener::unix(&path)].map(Result::unwrap);
    assert!(Listener::unix(&path).is_err(), "somebody listens there");
    let addresses = [0, 1].map(|i| listeners[i].address().unwrap().to_string());
    assert_eq!(addresses[1], format!("unix:{}", path.display()));

    let stop = Arc::new(AtomicBool::new(false));
    let network = Arc::new(server::network(model(), Packing::Segment).unwrap());
    let options = ServerOptions {
        queries: 1,
        ..ServerOptions::default()
    };
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let listeners = listeners;
            serve(&listeners, &network.into(), options, &stop, &|_: Ended| ())
        });
        for address in &addresses {
            // Each has a budget of its own.
            let mut session = Connection::connect(address, patient()).unwrap();
            classify(&mut session, 1).unwrap();
            let told = classify(&mut session, 2).unwrap_err();
            assert_says(&told, "budget of queries is spent");
        }
        stop.store(true, Ordering::Relaxed);
        serving.join().unwrap().unwrap();
    });
    assert!(!path.exists());
    std::fs::remove_dir(&folder).unwrap();
}

#[test]
fn queries_are_limited() {
    let host = serving(ServerOptions {
        queries: 2,
        ..ServerOptions::default()
    });
    let mut session = connect(host.tcp()).unwrap();
    classify(&mut session, 1).unwrap();
    classify(&mut session, 2).unwrap();
    let told = classify(&mut session, 3).unwrap_err();
    assert_says(&told, "budget of queries is spent");
    let end = host.ended();
    assert_says(&end.error.unwrap(), "spent its budget of queries");
    assert_eq!(end.counters.queries, 2);
    // Another session does not bring a new budget.
    let mut session = connect(host.tcp()).unwrap();
    let told = classify(&mut session, 4).unwrap_err();
    assert_says(&told, "budget of queries is spent");
    assert_eq!(host.ended().counters.queries, 0);
}

#[test]
fn stopping_closes_sessions_between_inferences() {
    let mut host = serving(ServerOptions {
        timeout: LONG,
        ..ServerOptions::default()
    });
    let mut idle = connect(host.tcp()).unwrap();
    let mut tireless = connect(host.tcp()).unwrap();
    let tireless = thread::spawn(move || {
        loop {
            if let Err(error) = classify(&mut tireless, 1) {
                return error;
            }
        }
    });
    let silent = host.raw();
    // All three are accepted, as a fourth shows.
    visit(host.tcp()).unwrap();
    assert!(host.ended().error.is_none());
    host.stop.store(true, Ordering::Relaxed);
    host.has_returned();
    let closing = |error| matches!(error, SessionError::Protocol(e) if e == ProtocolError::Peer(PeerError::Closing));
    assert!(closing(tireless.join().unwrap()));
    assert!(closing(classify(&mut idle, 1).unwrap_err()));
    for _ in 0..3 {
        assert!(matches!(host.error(), SessionError::Stopped));
    }
    drop(silent);
}

#[test]
fn stopping_lets_a_running_inference_finish() {
    let mut host = serving(ServerOptions::default());
    // The line holds the middle of the inference back until the server was asked to stop.
    let middle = payload(&recorded()[0], Kind::Replies, 0).start;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = thread::spawn(move || -> Result<Connection, SessionError> {
        let mut session = connect(address)?;
        classify(&mut session, 3)?;
        Ok(session)
    });
    let (mut up, _) = listener.accept().unwrap();
    let mut server = host.raw();
    let ends = (server.try_clone().unwrap(), up.try_clone().unwrap());
    let down = thread::spawn(move || pump(ends.0, ends.1, &Fault::default()));
    let mut start = (&mut up).take(middle as u64);
    assert_eq!(
        std::io::copy(&mut start, &mut server).unwrap(),
        middle as u64
    );
    host.stop.store(true, Ordering::Relaxed);
    thread::sleep(Duration::from_millis(300));
    assert!(host.ended.try_recv().is_err());
    let rest = thread::spawn(move || pump(up, server, &Fault::default()));
    drop(client.join().unwrap().unwrap());
    host.has_returned();
    let end = host.ended();
    assert!(matches!(end.error, Some(SessionError::Stopped)));
    assert_eq!(end.counters.queries, 1);
    rest.join().unwrap();
    down.join().unwrap();
}

/// A server that takes one client and does something else.
fn fake(act: impl FnOnce(&mut TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || act(&mut listener.accept().unwrap().0));
    address
}

#[test]
fn clients_survive_bad_servers() {
    let down = &recorded()[1];
    let welcome = frames(down)[0].1.clone();
    let replay = down.clone();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "closed the line"),
        (
            down[welcome.start..welcome.end - 1].into(),
            "closed the line",
        ),
        (down[welcome].into(), "closed the line"),
        (vec![0xff; 9999], "must carry 1024 bytes"),
        (vec![0; 9999], "got kind 0"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".into(), "must carry"),
        (b"\x02\x03\0\x06bc".into(), "malformed greeting"),
        (b"\x03\0\0".into(), "expected a frame of kind 2"),
        (b"\x14\x01\0\x04".into(), "at its limit"),
        (b"\x14\x01\0\x05".into(), "shutting down"),
        (b"\x14\0\0".into(), "an error on its side"),
        // The words of another session.
        (replay, ""),
    ];
    for (bytes, part) in cases {
        let address = fake(move |stream| {
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let error = connect(address).err().unwrap();
        assert_says(&error, part);
    }
    let impatient = ClientOptions {
        timeout: SHORT,
        ..patient()
    };
    let slow: [fn(&mut TcpStream); 2] = [
        |stream| drop(stream.read_to_end(&mut Vec::new())),
        |stream| {
            while stream.write_all(b"\x02").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        },
    ];
    for act in slow {
        let start = Instant::now();
        let error = Connection::connect(&fake(act).to_string(), impatient);
        let error = error.err().unwrap();
        assert!(matches!(error, SessionError::Silent), "{error}");
        assert!(start.elapsed() < SHORT + Duration::from_secs(2));
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let error = connect(nobody.unwrap()).err().unwrap();
    assert_says(&error, "cannot connect to 127.0.0.1:");
    let error = Connection::connect("no port", patient()).err().unwrap();
    assert_says(&error, "cannot connect to no port");
}

#[test]
fn what_a_server_announces_is_not_trusted() {
    type Change = fn(&mut About);
    let changes: [(Change, &str); 8] = [
        (
            |a| a.classes[1] = "\x1b[2Jfox".try_into().unwrap(),
            "malformed class name",
        ),
        (
            |a| a.classes[2] = "ee\u{202e}l".try_into().unwrap(),
            "malformed class name",
        ),
        (
            |a| a.name = "ti\u{200b}ny".try_into().unwrap(),
            "malformed network name",
        ),
        (|a| a.input.std[1] = 0.0, "malformed normalisation"),
        (|a| a.input.mean[0] = f32::NAN, "malformed normalisation"),
        (|a| a.input.scale = f32::INFINITY, "malformed normalisation"),
        (|a| a.logit_scale = -1.0, "malformed normalisation"),
        (|a| a.input.resize = 6, "input side = 7"),
    ];
    for (change, part) in changes {
        let mut about = server::about(model());
        change(&mut about);
        let network = Network::new(
            about,
            server::layers(model(), Packing::Segment, WEIGHT_MEMORY).unwrap(),
        )
        .unwrap();
        let host = with(network, ServerOptions::default());
        assert_says(&connect(host.tcp()).err().unwrap(), part);
    }
}

#[test]
fn an_image_of_another_shape_does_not_end_the_session() {
    let host = serving(ServerOptions::default());
    let mut session = connect(host.tcp()).unwrap();
    for pixels in [0, 3 * 7 * 7 - 1, 3 * 8 * 8] {
        let error = session.infer(&vec![1; pixels]).unwrap_err();
        assert_says(&error, "image of another shape");
    }
    classify(&mut session, 1).unwrap();
}

#[test]
fn both_parties_in_one_process() {
    let mut local = Local::start(model(), patient()).unwrap();
    for seed in 0..3 {
        let (inference, checks) = local.infer(&image(seed), Some(model())).unwrap();
        assert_right(&image(seed), &inference.logits);
        assert_eq!(checks.len(), 2);
        assert!(checks[0].max_error_units <= 1);
        assert_eq!((checks[0].zeroed, checks[1].max_error_units), (0, 0));
    }
    assert_eq!(local.counters().queries, 3);
    // The side that knows why is the one that is heard.
    let mut options = patient();
    options.settings.k_s = 3;
    let error = Local::start(model(), options).err().unwrap();
    assert_says(&error, "the peer proposed k_s = 3");
}
