//! Runs sessions by number: `sessions COUNT [FIRST]`. See [`stria_fuzz::session`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stria_fuzz::session::run;

/// A session that takes longer hangs, also on a machine that does much else.
const LIMIT: Duration = Duration::from_secs(600);

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse());
    let mut next = |default| match arguments.next() {
        Some(number) => number.expect("usage: sessions COUNT [FIRST]"),
        None => default,
    };
    let (count, first): (u64, u64) = (next(500), next(0));
    static CURRENT: AtomicU64 = AtomicU64::new(0);
    CURRENT.store(first, Ordering::Relaxed);
    thread::spawn(|| {
        loop {
            let before = CURRENT.load(Ordering::Relaxed);
            thread::sleep(LIMIT);
            if CURRENT.load(Ordering::Relaxed) == before {
                eprintln!("session {before} hangs");
                std::process::exit(1);
            }
        }
    });
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        eprintln!("session {} fails:", CURRENT.load(Ordering::Relaxed));
        report(info);
    }));
    let start = Instant::now();
    let (mut outcomes, mut slowest) = ([0; 4], Duration::ZERO);
    for number in first..first + count {
        CURRENT.store(number, Ordering::Relaxed);
        let begin = Instant::now();
        let outcome = run(number);
        outcomes[outcome as usize] += 1;
        slowest = slowest.max(begin.elapsed());
        let done = number - first + 1;
        if done == count || done.is_multiple_of(1000) {
            let rate = done as f64 / start.elapsed().as_secs_f64();
            let [right, refused, stalled, changed] = outcomes;
            println!(
                "{done} sessions, {rate:.1} a second, slowest {:.2} s: {right} right, {refused} refused, \
                 {stalled} stalled, {changed} with other shares",
                slowest.as_secs_f64()
            );
        }
    }
}
