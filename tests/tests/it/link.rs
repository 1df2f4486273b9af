//! The link layer on simulated lines: transfers, whole inferences, dead lines, restarts.

use std::collections::VecDeque;

use embedded_io::{Read, Write};
use stria_core::link::{IoError, Line, Link, LinkError, LinkIo, State, Timing, payload_len};
use stria_core::protocol::frame::{Frame, HEADER, MAX_FRAME};
use stria_tests::netsim::{End, Faults, Net, Wire, end};
use stria_tests::two_party::{Image, Plain, SmallPair, settings};

/// The sizes of a small client.
const MTU: usize = 256;
const WINDOW: usize = 4;

fn small() -> Box<dyn End> {
    end::<MTU, WINDOW>(Timing::default())
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i * i / 7 + i / 256) as u8).collect()
}

/// Bytes a second, both ways taken together, by MTU and window (rows) and percentage of packets
/// with a fault (columns; "all": loss, corruption, duplication and reordering, so often each), at
/// 115200 baud: 11520 bytes a second at best.
const GOODPUT: &str = "
  MTU win   clean  loss 1  corr 1   all 1  loss 2  corr 2   all 2  loss 5  corr 5   all 5
   64   1    5081    4846    4840    4360    4554    4625    3761    4000    3873    2155
   64   4    8356    8271    8260    7975    8156    8183    7441    7856    7750    5842
   64  16    8356    8278    8262    8028    8168    8194    7637    7985    7853    6794
  256   1    9310    8793    9310    7538    8342    8552    7207    7454    7557    3362
  256   2   10807   10620   10807    9957   10421   10558    9587    9930    9731    3394
  256   4   10807   10678   10807   10179   10602   10652    9770   10195   10114    7436
  256   8   10807   10678   10807   10191   10602   10652    9949   10210   10121    8108
 1024   2   11393   11256   11264   10776   10760   11269    9795   10786   10899    5005
 1024   4   11393   11278   11278   10943   10840   11278    9709   10832   10938    5877
";

/// The kinds of faults, and their rates in percent, of the table's columns.
fn columns() -> Vec<(String, Faults)> {
    let mut columns = vec![("clean".into(), Faults::default())];
    for percent in [1, 2, 5] {
        let per_mille = 10 * percent;
        let loss = Faults {
            loss: per_mille,
            ..Faults::default()
        };
        let corruption = Faults {
            corruption: per_mille,
            ..Faults::default()
        };
        columns.push((format!("loss {percent}"), loss));
        columns.push((format!("corr {percent}"), corruption));
        columns.push((format!("all {percent}"), Faults::all(per_mille)));
    }
    columns
}

fn row<const MTU: usize, const WINDOW: usize>() -> String {
    let data = bytes(48 << 10);
    let goodput = |(i, (_, faults)): (usize, (String, Faults))| {
        let ends = [(); 2].map(|()| end::<MTU, WINDOW>(Timing::default()));
        let mut net = Net::new(ends, faults, i as u64);
        net.connect(7);
        let millis = net.transfer(0, &data) + net.transfer(1, &data);
        format!("{:>8}", 2000 * data.len() as u64 / millis)
    };
    let cells: String = columns().into_iter().enumerate().map(goodput).collect();
    format!("{MTU:>5} {WINDOW:>3}{cells}\n")
}

#[test]
fn goodput_by_size_and_faults() {
    let heads = columns().into_iter().map(|(name, _)| format!("{name:>8}"));
    let mut table = format!("\n  MTU win{}\n", heads.collect::<String>());
    table += &row::<64, 1>();
    table += &row::<64, 4>();
    table += &row::<64, 16>();
    table += &row::<256, 1>();
    table += &row::<256, 2>();
    table += &row::<256, 4>();
    table += &row::<256, 8>();
    table += &row::<1024, 2>();
    table += &row::<1024, 4>();
    assert!(table == GOODPUT, "the table is now:{table}");
}

#[test]
fn small_links_fit_their_memory() {
    let size = size_of::<Link<MTU, WINDOW>>();
    assert!(size <= 2816, "{size} bytes");
}

#[test]
fn ends_of_different_sizes_agree() {
    for swap in [false, true] {
        let mut ends = [small(), end::<1024, 16>(Timing::default())];
        if swap {
            ends.reverse();
        }
        let mut net = Net::new(ends, Faults::all(20), 3);
        net.connect(1);
        net.transfer(0, &bytes(20_000));
        net.transfer(1, &bytes(20_000));
    }
}

#[test]
fn sequence_numbers_wrap() {
    let ends = [(); 2].map(|()| end::<32, 4>(Timing::default()));
    let mut net = Net::new(ends, Faults::all(10), 3);
    net.connect(1);
    net.transfer(0, &bytes(70_000 * payload_len(32)));
}

#[test]
fn a_slow_reader_holds_its_sender_back() {
    let mut net = Net::new([small(), small()], Faults::default(), 3);
    net.connect(1);
    let data = bytes(2 * WINDOW * payload_len(MTU));
    let mut sent = 0;
    let until = net.now + 60_000_000;
    net.run(|net| {
        sent += net.ends[0].send(&data[sent..]);
        net.now > until
    });
    assert_eq!(sent, data.len() / 2);
    // Now and then a probe, but no payload again, and no failure.
    assert!(net.wires[0].sent <= (WINDOW * MTU + 45 * 20) as u64);
    let mut got = Vec::<u8>::new();
    assert!(net.run(|net| {
        sent += net.ends[0].send(&data[sent..]);
        let mut byte = [0];
        let count = net.ends[1].recv(&mut byte);
        got.extend(&byte[..count]);
        got.len() == data.len()
    }));
    assert_eq!(got, data);
}

#[test]
fn a_reader_with_the_larger_window_tells_at_once_that_it_has_read() {
    let ends = [small(), end::<1024, 16>(Timing::default())];
    let mut net = Net::new(ends, Faults::default(), 3);
    net.connect(1);
    let data = bytes(WINDOW * payload_len(MTU));
    assert_eq!(net.ends[0].send(&data), data.len());
    assert!(net.run(|net| net.ends[0].has_arrived()));
    let now = net.millis();
    assert_eq!(net.ends[1].transmit(now), None);
    assert_eq!(net.ends[1].recv(&mut [0; 2048]), data.len());
    // Else the sender, whose window is full, would wait for its timer.
    assert!(net.ends[1].transmit(now).is_some());
}

#[test]
fn garbage_costs_nothing_but_time() {
    let mut net = Net::new([small(), small()], Faults::default(), 3);
    let garbage: Vec<u8> = bytes(5000).iter().map(|byte| byte | 1).collect();
    net.wires[0].inject(0, &garbage);
    net.wires[1].inject(0, &bytes(5000));
    net.connect(1);
    for round in 0..20 {
        net.wires[round % 2].inject(net.now, &garbage[..round * 100]);
        net.transfer(round % 2, &bytes(1000));
    }
}

#[test]
fn a_dead_line_is_an_error_at_both_ends() {
    let timing = Timing::default();
    // In the middle of a transfer, and while both wait.
    for sending in [false, true] {
        let mut net = Net::new([small(), small()], Faults::all(20), 4);
        net.connect(1);
        net.transfer(0, &bytes(3000));
        net.wires.iter_mut().for_each(|wire| wire.cut = true);
        if sending {
            net.ends[0].send(&bytes(3000));
        }
        let start = net.millis();
        assert_eq!(net.failures(), [LinkError::Dead; 2]);
        // What was under way when the line was cut still arrives.
        let took = net.millis() - start;
        assert!(took <= u64::from(timing.dead) + 100, "{took} ms");
        assert!(took + u64::from(timing.keepalive) >= u64::from(timing.dead));
        // The same line, mended.
        net.wires.iter_mut().for_each(|wire| wire.cut = false);
        net.connect(2);
        net.transfer(0, &bytes(3000));
        net.transfer(1, &bytes(3000));
    }
}

#[test]
fn nobody_there_is_an_error() {
    let mut net = Net::new([small(), small()], Faults::default(), 4);
    net.ends[0].open(0, 1);
    assert!(net.run(|net| net.ends[0].state() == State::Failed(LinkError::Dead)));
    assert_eq!(net.millis(), u64::from(Timing::default().dead));
}

#[test]
fn a_client_can_start_anew_at_any_time() {
    let mut net = Net::new([small(), small()], Faults::all(50), 5);
    net.connect(1);
    for id in 2..40 {
        // It stops in the middle, both ways, and forgets everything.
        let until = net.now + 20_000 * u64::from(id);
        net.run(|net| {
            for end in &mut net.ends {
                end.send(&bytes(500));
                end.recv(&mut [0; 300]);
            }
            net.now > until
        });
        net.ends[0] = small();
        let now = net.millis();
        net.ends[0].open(now, id);
        let failed = |net: &mut Net| matches!(net.ends[1].state(), State::Failed(_));
        assert!(net.run(failed));
        assert!(matches!(
            net.ends[1].state(),
            State::Failed(LinkError::Reopened | LinkError::Reset)
        ));
        let now = net.millis();
        net.ends[1].listen(now);
        assert!(net.run(|net| net.is_open(id)));
        net.transfer(0, &bytes(3000));
        net.transfer(1, &bytes(3000));
    }
}

#[test]
fn a_server_that_restarted_resets_its_client() {
    let mut net = Net::new([small(), small()], Faults::default(), 5);
    net.connect(1);
    net.transfer(1, &bytes(100));
    net.ends[1] = small();
    net.ends[1].listen(0);
    net.ends[0].send(&bytes(100));
    net.ends[0].flush();
    let state = State::Failed(LinkError::Reset);
    assert!(net.run(|net| net.ends[0].state() == state));
    net.connect(2);
}

#[test]
fn a_close_ends_both_sides_in_order() {
    for seed in 0..50 {
        let mut net = Net::new([small(), small()], Faults::all(200), seed);
        net.connect(1);
        net.transfer(0, &bytes(1000));
        let data = bytes(500);
        let mut sent = 0;
        assert!(net.run(|net| {
            sent += net.ends[0].send(&data[sent..]);
            net.ends[0].flush();
            sent == data.len() && net.ends[0].has_arrived()
        }));
        net.ends[0].close();
        assert!(net.run(|net| net.ends[1].state() != State::Open));
        assert_eq!(net.ends[1].state(), State::Closed);
        let mut got = [0; 600];
        assert_eq!(net.ends[1].recv(&mut got), data.len());
        assert_eq!(got[..500], data);
    }
}

/// One party's frames in a link's stream.
#[derive(Default)]
struct Stream {
    out: VecDeque<u8>,
    input: Vec<u8>,
}

impl Stream {
    /// Sends what there is room for and takes what has come.
    fn exchange(&mut self, end: &mut dyn End) {
        let count = end.send(self.out.make_contiguous());
        self.out.drain(..count);
        if self.out.is_empty() {
            end.flush();
        }
        let mut buffer = [0; 512];
        loop {
            match end.recv(&mut buffer) {
                0 => return,
                count => self.input.extend(&buffer[..count]),
            }
        }
    }

    fn frame(&mut self) -> Option<Vec<u8>> {
        let &[_, low, high, ..] = &self.input[..] else {
            return None;
        };
        let len = HEADER + usize::from(u16::from_le_bytes([low, high]));
        (self.input.len() >= len).then(|| self.input.drain(..len).collect())
    }
}

/// Exchanges frames over the line until both sides rest.
fn run(pair: &mut SmallPair, image: &mut Image, net: &mut Net) {
    let mut streams = [Stream::default(), Stream::default()];
    let mut buffer = [0; MAX_FRAME];
    let done = net.run(|net| {
        for (stream, end) in streams.iter_mut().zip(&mut net.ends) {
            stream.exchange(end.as_mut());
        }
        let [up, down] = &mut streams;
        while let Some(frame) = up.frame() {
            let frame = Frame::new_checked(&frame).unwrap();
            pair.client.handle(image, frame).unwrap();
        }
        while let Some(frame) = down.frame() {
            let frame = Frame::new_checked(&frame).unwrap();
            pair.server.handle(frame).unwrap();
        }
        if up.out.is_empty() {
            while let Some(len) = pair.client.poll(image, &mut buffer).unwrap() {
                up.out.extend(&buffer[..len]);
            }
        }
        if down.out.is_empty() {
            while let Some(len) = pair.server.poll(&mut buffer).unwrap() {
                down.out.extend(&buffer[..len]);
            }
        }
        let idle = |stream: &Stream| stream.out.is_empty() && stream.input.is_empty();
        let arrived = net.ends.iter().all(|end| end.has_arrived());
        for (stream, end) in streams.iter_mut().zip(&mut net.ends) {
            stream.exchange(end.as_mut());
        }
        arrived && streams.iter().all(idle) && pair.client.is_ready() && pair.server.is_ready()
    });
    assert!(done);
}

#[test]
fn inferences_are_right_at_every_fault_rate() {
    let plain = Plain::small();
    let network = plain.network();
    let new_pair = || SmallPair::new(network.clone(), settings(4, 8), [1, 2]);
    let mut lossless = new_pair();
    let mut expected = Image::random(5);
    lossless.run(&mut expected).unwrap();
    lossless.infer(&mut expected).unwrap();
    // By two_party.rs, these are the network's logits.
    let tensors = lossless.open(&plain, &expected);
    let logits = plain.y(plain.layers.len() - 1, &tensors);
    assert!(expected.logits.iter().map(|&y| i64::from(y)).eq(logits));
    for per_mille in [0, 10, 20, 50] {
        // A desktop at the other end of a small client's line.
        let ends = [small(), end::<1024, 16>(Timing::default())];
        let mut net = Net::new(ends, Faults::all(per_mille), per_mille.into());
        net.connect(9);
        let mut pair = new_pair();
        let mut image = Image::random(5);
        run(&mut pair, &mut image, &mut net);
        pair.client.start().unwrap();
        image.logits.clear();
        run(&mut pair, &mut image, &mut net);
        assert_eq!(image.labels, expected.labels);
        assert_eq!(image.logits, expected.logits, "{per_mille}");
        assert_eq!(pair.open(&plain, &image), tensors, "{per_mille}");
    }
}

/// A line whose other end answers each byte b with !b, until it gets a zero and closes.
struct Echo {
    peer: Box<dyn End>,
    wires: [Wire; 2],
    now: u64,
    owed: VecDeque<u8>,
    closing: bool,
    /// Takes nothing.
    stuck: bool,
}

impl Echo {
    fn step(&mut self, until: Option<u64>) {
        let bytes = self.wires[0].read(self.now);
        self.peer.receive(self.now / 1000, &bytes);
        let mut buffer = [0; 100];
        let count = self.peer.recv(&mut buffer);
        self.owed.extend(buffer[..count].iter().map(|byte| !byte));
        let sent = self.peer.send(self.owed.make_contiguous());
        self.owed.drain(..sent);
        self.peer.flush();
        self.closing |= buffer[..count].contains(&0);
        if self.closing && self.owed.is_empty() && self.peer.has_arrived() {
            self.peer.close();
        }
        if let State::Failed(_) = self.peer.state() {
            self.peer.listen(self.now / 1000);
        }
        if self.wires[1].is_free(self.now) {
            let packet = self.peer.transmit(self.now / 1000);
            self.wires[1].write(self.now, &packet.unwrap_or_default());
        }
        let deadlines = [until, self.peer.next_deadline()].map(|ms| ms.map(|ms| 1000 * ms));
        let events = self.wires.each_ref().map(|wire| wire.next_event(self.now));
        let next = deadlines.into_iter().chain(events).flatten().min();
        self.now = next.unwrap_or(self.now + 1000).max(self.now + 1);
    }
}

impl Line for Echo {
    type Error = embedded_io::ErrorKind;
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        Ok(self.wires[1].read_into(self.now, buffer))
    }
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        if self.stuck {
            return Ok(0);
        }
        Ok(self.wires[0].write(self.now, bytes))
    }
    fn now(&mut self) -> u64 {
        self.now / 1000
    }
    fn wait(&mut self, until: Option<u64>) -> Result<(), Self::Error> {
        self.step(until);
        Ok(())
    }
}

#[test]
fn a_blocking_stream_over_a_bad_line() {
    for per_mille in [0, 50] {
        let faults = Faults::all(per_mille);
        let mut echo = Echo {
            peer: small(),
            wires: [Wire::new(faults, 1), Wire::new(faults, 2)],
            now: 0,
            owed: VecDeque::new(),
            closing: false,
            stuck: false,
        };
        echo.peer.listen(0);
        let mut io = LinkIo::<_, MTU, WINDOW>::new(echo, Timing::default());
        assert_eq!(io.write(&[1]), Err(IoError::NotConnected));
        io.connect(1).unwrap();
        // Without room for its answers the echo waits, and so would we: in turns.
        let data: Vec<u8> = bytes(20_000).iter().map(|&byte| byte.max(1)).collect();
        let mut got = vec![0; data.len()];
        for (out, back) in data.chunks(1500).zip(got.chunks_mut(1500)) {
            io.write_all(out).unwrap();
            io.flush().unwrap();
            io.read_exact(back).unwrap();
        }
        assert!(got.iter().zip(&data).all(|(got, byte)| *got == !byte));
        // The other end closes.
        io.write_all(&[0]).unwrap();
        assert_eq!(io.read(&mut [0; 10]), Ok(1));
        assert_eq!(io.read(&mut [0; 10]), Ok(0));
        io.close().unwrap();

        // A line that is cut, and mended.
        io.line_mut().closing = false;
        io.line_mut().peer.listen(0);
        io.connect(2).unwrap();
        io.write_all(&[1, 2, 3]).unwrap();
        io.read_exact(&mut [0; 3]).unwrap();
        io.line_mut().wires[1].cut = true;
        io.write_all(&[1, 2, 3]).unwrap();
        let start = io.line_mut().now;
        let error = io.read(&mut [0; 3]).unwrap_err();
        assert_eq!(error, IoError::Link(LinkError::Dead));
        let took = (io.line_mut().now - start) / 1000;
        assert!(took <= u64::from(Timing::default().dead), "{took} ms");
        io.line_mut().wires[1].cut = false;

        // A line that takes nothing any more: neither a write nor a close waits for ever.
        io.connect(7).unwrap();
        io.line_mut().stuck = true;
        let start = io.line_mut().now;
        let error = io.write_all(&[5; 5000]).unwrap_err();
        assert_eq!(error, IoError::Link(LinkError::Dead));
        io.connect(8).unwrap_err();
        let took = (io.line_mut().now - start) / 1000;
        // The peer is heard until it gives up itself; then this side does, twice.
        assert!(
            took <= 3 * u64::from(Timing::default().dead) + 100,
            "{took} ms"
        );
        io.line_mut().stuck = false;
        io.connect(9).unwrap();
        io.line_mut().stuck = true;
        io.close().unwrap();
        io.line_mut().stuck = false;

        let now = io.line_mut().now();
        io.line_mut().peer.listen(now);
        io.connect(3).unwrap();
        io.write_all(&[9]).unwrap();
        let mut back = [0];
        io.read_exact(&mut back).unwrap();
        assert_eq!(back, [!9]);
        io.close().unwrap();
        assert_eq!(io.state(), State::Closed);

        // The roles the other way round.
        let now = io.line_mut().now();
        io.line_mut().peer.open(now, 4);
        io.accept().unwrap();
        io.write_all(&[9]).unwrap();
        io.read_exact(&mut back).unwrap();
        assert_eq!(back, [!9]);
        // The peer starts anew while this side waits.
        io.line_mut().peer.open(now, 5);
        let error = io.read(&mut back).unwrap_err();
        assert!(matches!(
            error,
            IoError::Link(LinkError::Reopened | LinkError::Reset)
        ));
        io.accept().unwrap();
        io.write_all(&[8]).unwrap();
        io.read_exact(&mut back).unwrap();
        assert_eq!(back, [!8]);
    }
}
