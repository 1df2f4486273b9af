//! What the tests of servers and clients share: a tiny model, and a server in a thread.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;
use stria_core::protocol::greeting::Settings;
use stria_core::protocol::network::Network;
use stria_host::model::Integers;
use stria_host::model::{Model, reference};
use stria_host::session::SessionError;
use stria_host::session::client::{ClientOptions, Connection};
use stria_host::session::server::{Ended, Served, ServerOptions, serve};
use stria_host::transport::Listener;

/// Long enough for a test that goes well on a busy machine.
pub const LONG: Duration = Duration::from_secs(60);
/// Two layers and 36 activations.
pub fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| {
        let network = json!({
            "schema": 1, "name": "tiny", "classes": ["cat", "dog", "eel"], "shift": 8,
            "logit_scale": 1024,
            "input": {"channels": 3, "side": 7, "resize": 8, "mean": [0.5, 0.5, 0.5],
                      "std": [0.25, 0.25, 0.25], "scale": 64},
            "layers": [
                {"name": "stem", "input": "image", "channels": [3, 4], "kernel": 3,
                 "stride": 2, "relu": true},
                {"name": "fc", "input": "stem", "channels": [4, 3], "kernel": 1, "pool": true,
                 "relu": false},
            ],
        });
        let integers = |seed, weights, bias, size| Integers {
            weights: values(seed, weights, size),
            bias: values(!seed, bias, 9000),
        };
        let integers = vec![integers(1, 4 * 3 * 9, 4, 100), integers(2, 3 * 4, 3, 6)];
        Model::new(serde_json::from_value(network).unwrap(), integers).unwrap()
    })
}

/// Pseudo-random numbers in [-size, size].
pub fn values(mut state: u64, count: usize, size: i32) -> Vec<i32> {
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(99);
        (state >> 33) as i32 % (2 * size + 1) - size
    };
    (0..count).map(|_| next()).collect()
}

pub fn image(seed: u64) -> Vec<i32> {
    values(seed, 3 * 7 * 7, 127)
}

/// As far as the exact logits and those of a secure run may be apart where the comparison takes
/// all bits: every activation of the pooled map is off by at most a unit.
pub fn assert_right(image: &[i32], logits: &[i32]) {
    let expected = reference::trace(model(), image);
    let weights = model().layers[1].weights.chunks(4);
    let pixels = 9;
    assert_eq!(logits.len(), 3);
    for ((got, expected), weights) in logits.iter().zip(expected.logits()).zip(weights) {
        let bound = pixels * weights.iter().map(|w| w.abs()).sum::<i32>();
        assert!((got - expected).abs() <= bound, "{got} is not {expected}");
    }
}

pub fn patient() -> ClientOptions {
    ClientOptions {
        settings: Settings {
            k_s: 4,
            h: 12,
            labels: true,
        },
        timeout: LONG,
        ..ClientOptions::default()
    }
}

/// One inference, whose logits are right.
pub fn classify(session: &mut Connection, seed: u64) -> Result<(), SessionError> {
    let image = image(seed);
    let inference = session.infer(&image)?;
    assert_right(&image, &inference.logits);
    Ok(())
}

/// A server in a thread.
pub struct Host {
    pub address: String,
    pub stop: Arc<AtomicBool>,
    pub ended: Receiver<Ended>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Host {
    pub fn start(listeners: Vec<Listener>, network: Network, options: ServerOptions) -> Self {
        Self::serve(listeners, Arc::new(network).into(), options)
    }

    pub fn serve(listeners: Vec<Listener>, served: Served, options: ServerOptions) -> Self {
        let address = listeners[0].address().unwrap().to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let (send, ended) = channel();
        let asked = stop.clone();
        let thread = thread::spawn(move || {
            let ended = |end| {
                let _ = send.send(end);
            };
            serve(&listeners, &served, options, &asked, &ended)
        });
        Self {
            address,
            stop,
            ended,
            thread: Some(thread),
        }
    }

    /// Where it is, on TCP.
    pub fn tcp(&self) -> SocketAddr {
        self.address.parse().unwrap()
    }

    /// A bare connection.
    pub fn raw(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }

    /// The next session that ends.
    pub fn ended(&self) -> Ended {
        self.ended.recv_timeout(LONG).expect("no session ended")
    }

    /// Why the next session ended.
    pub fn error(&self) -> SessionError {
        self.ended().error.expect("the session ended well")
    }

    pub fn has_returned(&mut self) {
        let thread = self.thread.take().unwrap();
        let deadline = Instant::now() + LONG;
        while !thread.is_finished() {
            assert!(Instant::now() < deadline, "the server does not return");
            thread::sleep(Duration::from_millis(10));
        }
        thread.join().unwrap().unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
