//! What the paper claims, beside what these runs show. `core/docs/design.md#baselines`; the claims
//! are those of the abstract of arXiv 2601.21287.

use serde::Serialize;

use super::bench::{Bench, Measured};
use super::counts::Counts;
use super::numbers::{bytes, count, seconds};

/// A claim of the paper, and what became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Claim {
    /// What the paper says.
    pub claim: String,
    /// What is compared here, and how.
    pub meaning: String,
    /// What was measured, a sentence a comparison; never empty.
    pub measured: Vec<String>,
}

/// Where the runs that a claim needs are not there.
pub(super) const NOT_MEASURED: &str = "not measured in this run";

/// Networks for one data set.
struct DataSet {
    name: &'static str,
    /// What the names of its StriaNets start with; the second is that of the bundled model.
    strianets: &'static [&'static str],
    /// Plaintext families to compare with.
    baselines: &'static [&'static str],
    /// Speed-up end to end, as claimed.
    speedup: &'static str,
}

const DATA_SETS: [DataSet; 3] = [
    DataSet {
        name: "ImageNet",
        strianets: &["strianet-imagenet"],
        baselines: &["resnet50", "vgg16", "mobilenetv2"],
        speedup: "9.78x",
    },
    DataSet {
        name: "Tiny ImageNet",
        strianets: &["strianet-tiny-imagenet"],
        baselines: &["resnet18"],
        speedup: "6.01x",
    },
    DataSet {
        name: "CIFAR-10",
        strianets: &["strianet-cifar10", "strianet-c10"],
        baselines: &["resnet20", "resnet32"],
        speedup: "9.24x",
    },
];

/// The claims in the order of the abstract.
pub fn claims(bench: &Bench) -> Vec<Claim> {
    let mut claims = vec![
        external_rotations(bench),
        internal_rotations(bench),
        communication(bench),
    ];
    claims.extend(DATA_SETS.iter().map(|set| end_to_end(bench, set)));
    claims.push(accuracy(bench));
    claims
}

fn external_rotations(bench: &Bench) -> Claim {
    let mut measured = Vec::new();
    for name in names(bench).filter(|name| is_strianet(name)) {
        for packing in ["segment", "slot"] {
            if let Some(run) = bench.any_link(name, packing) {
                let grouped = run.layers.iter().filter(|layer| layer.shape.groups > 1);
                let grouped = grouped
                    .map(|layer| layer.counts.operations.external_rotations)
                    .sum();
                // A file may hold anything.
                let dense = run.counts.operations.external_rotations;
                let dense = dense.saturating_sub(grouped);
                measured.push(format!(
                    "{} in the grouped layers of {name} in {packing} packing, {} in its dense ones",
                    count(grouped),
                    count(dense)
                ));
            }
        }
    }
    claim(
        "No external rotations",
        "External rotations of an inference of a StriaNet, as the server counts them. Segment packing has no \
         rotations at all, by construction. In slot packing a grouped layer has none if it has as many groups as \
         a ciphertext has channels (ExRot-Free at that ring: the networks called simd); stem and classifier are dense.",
        measured,
    )
}

fn internal_rotations(bench: &Bench) -> Claim {
    let mut measured = Vec::new();
    for (ours, theirs) in pairs(bench) {
        let runs = bench
            .any_link(ours, "slot")
            .zip(bench.any_link(theirs, "slot"));
        let Some((a, b)) = runs.map(|(a, b)| (&a.counts, &b.counts)) else {
            continue;
        };
        let [few, many] = [a, b].map(|counts| counts.operations.internal_rotations);
        let share = match many {
            0 => "no share".into(),
            _ => format!("{:.1} %", 100.0 * few as f64 / many as f64),
        };
        measured.push(format!(
            "{share}: {ours} makes {}, {theirs} {}",
            count(few),
            count(many)
        ));
    }
    claim(
        "19 % of the internal rotations",
        "Internal rotations of an inference of a StriaNet as a share of a plaintext network's for the same data set, \
         both in slot packing.",
        measured,
    )
}

fn communication(bench: &Bench) -> Claim {
    let mut measured = Vec::new();
    for name in names(bench) {
        let runs = bench
            .any_link(name, "segment")
            .zip(bench.any_link(name, "coefficient"));
        let Some((ours, theirs)) = runs else { continue };
        let (a, b) = (pointwise(ours), pointwise(theirs));
        if b.ciphertext_bytes > 0 {
            measured.push(format!(
                "{} in the ciphertexts of the 1x1 layers of {name}: {} against {}; {} with their ReLUs",
                less(a.ciphertext_bytes, b.ciphertext_bytes),
                bytes(a.ciphertext_bytes),
                bytes(b.ciphertext_bytes),
                less(a.bytes(), b.bytes()),
            ));
        }
        let [a, b] = [ours, theirs].map(|run| run.counts.bytes());
        measured.push(format!(
            "{} in all of {name}: {} against {}",
            less(a, b),
            bytes(a),
            bytes(b)
        ));
    }
    claim(
        "89.21 % less communication in rotation-free layers on WAN than Cheetah's packing",
        "Bytes up and down of the same network in segment against coefficient packing: ciphertexts of its layers with a \
         1x1 kernel, these layers with their ReLUs, which are the same in both, and all layers. Bytes do not depend on \
         the link.",
        measured,
    )
}

fn end_to_end(bench: &Bench, set: &DataSet) -> Claim {
    let mut measured = Vec::new();
    for (ours, theirs) in pairs_of(bench, set) {
        for link in &bench.links {
            let Some(fast) = bench.measured(ours, "segment", &link.name) else {
                continue;
            };
            for packing in ["coefficient", "slot"] {
                let Some(slow) = bench.measured(theirs, packing, &link.name) else {
                    continue;
                };
                let (a, b) = (fast.median_seconds, slow.median_seconds);
                if a > 0.0 {
                    measured.push(format!(
                        "{:.2}x on {}: {theirs} in {packing} packing takes {}, {ours} {}",
                        b / a,
                        link.name,
                        seconds(b),
                        seconds(a)
                    ));
                }
            }
        }
    }
    claim(
        &format!("{} faster end to end on {}", set.speedup, set.name),
        "Seconds of an inference of a plaintext network in coefficient packing (as Cheetah) or slot packing (as \
         CrypTFlow2), over those of the StriaNet in segment packing, on the same link.",
        measured,
    )
}

fn accuracy(bench: &Bench) -> Claim {
    let random: Vec<_> = bench
        .networks
        .iter()
        .filter(|network| network.random_weights)
        .map(|network| network.name.as_str())
        .collect();
    let measured = match random.as_slice() {
        [] => Vec::new(),
        names => vec![format!("not comparable: {}", names.join(", "))],
    };
    claim(
        "At comparable accuracy",
        "The paper compares networks of similar accuracy. Networks with random weights have none, so the ratios \
         above compare architectures of similar purpose and say nothing about accuracy.",
        measured,
    )
}

fn claim(claim: &str, meaning: &str, mut measured: Vec<String>) -> Claim {
    if measured.is_empty() {
        measured.push(NOT_MEASURED.into());
    }
    Claim {
        claim: claim.into(),
        meaning: meaning.into(),
        measured,
    }
}

fn names(bench: &Bench) -> impl Iterator<Item = &str> {
    bench.networks.iter().map(|network| network.name.as_str())
}

fn is_strianet(name: &str) -> bool {
    name.starts_with("strianet")
}

/// StriaNets with the plaintext networks for the same data set.
fn pairs(bench: &Bench) -> Vec<(&str, &str)> {
    let pairs = DATA_SETS.iter().flat_map(|set| pairs_of(bench, set));
    pairs.collect()
}

fn pairs_of<'a>(bench: &'a Bench, set: &DataSet) -> Vec<(&'a str, &'a str)> {
    let is_ours = |name: &&str| set.strianets.iter().any(|start| name.starts_with(start));
    let mut pairs = Vec::new();
    for ours in names(bench).filter(is_ours) {
        let theirs = names(bench).filter(|name| set.baselines.contains(name));
        pairs.extend(theirs.map(|theirs| (ours, theirs)));
    }
    pairs
}

/// What is counted of the layers with a 1x1 kernel.
fn pointwise(run: &Measured) -> Counts {
    let mut sum = Counts::default();
    let layers = run
        .layers
        .iter()
        .filter(|layer| layer.shape.kernel == "1x1");
    layers.for_each(|layer| sum += &layer.counts);
    sum
}

/// How much less `a` is than `b`, in words.
fn less(a: u64, b: u64) -> String {
    if b == 0 {
        return "no share".into();
    }
    let percent = 100.0 * (1.0 - a as f64 / b as f64);
    match percent < 0.0 {
        true => format!("{:.2} % more", -percent),
        false => format!("{percent:.2} % less"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{
        LayerShape, Machine, MeasuredLayer, NetworkFacts, Operations, Outcome, Run,
    };
    use crate::transport::LinkSpeed;

    fn empty() -> Bench {
        Bench {
            version: "0".into(),
            machine: Machine {
                processor: None,
                cores: 1,
                memory_bytes: None,
            },
            networks: Vec::new(),
            links: ["lan", "wan"]
                .map(|name| LinkSpeed::named(name).unwrap())
                .into(),
            runs: Vec::new(),
        }
    }

    impl Bench {
        fn with(mut self, run: (&str, &str, &str), outcome: Outcome) -> Self {
            let (network, packing, link) = run;
            if !names(&self).any(|name| name == network) {
                self.networks.push(NetworkFacts {
                    name: network.into(),
                    about: String::new(),
                    deviations: Vec::new(),
                    random_weights: network != "strianet-c10",
                    parameters: 1,
                    activations: 1,
                    side: 31,
                    classes: 10,
                });
            }
            self.runs.push(Run {
                network: network.into(),
                packing: packing.into(),
                link: link.into(),
                outcome,
            });
            self
        }
    }

    fn took(median_seconds: f64, counts: Counts) -> Outcome {
        Outcome::Measured(Measured {
            median_seconds,
            counts,
            ..Measured::default()
        })
    }

    fn rotations(internal_rotations: u64, external_rotations: u64) -> Counts {
        Counts {
            operations: Operations {
                internal_rotations,
                external_rotations,
                ..Operations::default()
            },
            ..Counts::default()
        }
    }

    fn layer(kernel: &str, groups: u16, counts: Counts) -> MeasuredLayer {
        MeasuredLayer {
            shape: LayerShape {
                name: "l".into(),
                channels: [64, 64],
                side: 15,
                kernel: kernel.into(),
                stride: 1,
                groups,
            },
            seconds: 0.1,
            counts,
        }
    }

    fn measured(bench: &Bench) -> Vec<Vec<String>> {
        let claims = claims(bench);
        claims.into_iter().map(|claim| claim.measured).collect()
    }

    #[test]
    fn without_runs_nothing_is_measured() {
        assert_eq!(measured(&empty()), vec![vec![NOT_MEASURED]; 7]);
        let failed = Outcome::Failed {
            error: "no memory".into(),
        };
        let bench = empty()
            .with(("strianet-c10", "segment", "wan"), failed.clone())
            .with(("strianet-c10", "coefficient", "wan"), failed);
        assert_eq!(measured(&bench), vec![vec![NOT_MEASURED]; 7]);
    }

    #[test]
    fn rotations_are_compared_in_slot_packing() {
        let bench = empty()
            .with(
                ("strianet-cifar10", "segment", "lan"),
                took(1.0, Counts::default()),
            )
            .with(
                ("strianet-cifar10", "slot", "lan"),
                Outcome::Measured(Measured {
                    counts: rotations(1900, 7),
                    layers: vec![
                        layer("3x3", 1, rotations(0, 4)),
                        layer("1x1", 8, rotations(1900, 3)),
                    ],
                    ..Measured::default()
                }),
            )
            .with(("resnet20", "slot", "lan"), took(1.0, rotations(10_000, 5)))
            .with(("resnet32", "slot", "lan"), took(1.0, rotations(0, 5)))
            // For another data set.
            .with(("resnet50", "slot", "lan"), took(1.0, rotations(1, 5)));
        let all = measured(&bench);
        assert_eq!(
            all[0],
            [
                "0 in the grouped layers of strianet-cifar10 in segment packing, 0 in its dense ones",
                "3 in the grouped layers of strianet-cifar10 in slot packing, 4 in its dense ones"
            ]
        );
        assert_eq!(
            all[1],
            [
                "19.0 %: strianet-cifar10 makes 1,900, resnet20 10,000",
                "no share: strianet-cifar10 makes 1,900, resnet32 0"
            ]
        );
        assert_eq!(all[2], [NOT_MEASURED]);
        assert_eq!(
            all[6],
            ["not comparable: strianet-cifar10, resnet20, resnet32, resnet50"]
        );
    }

    #[test]
    fn communication_is_compared_on_the_same_network() {
        let traffic = |bytes_down| Counts {
            bytes_up: 300,
            bytes_down,
            ciphertext_bytes: bytes_down,
            ..Counts::default()
        };
        let run = |down: u64| {
            Outcome::Measured(Measured {
                counts: Counts {
                    bytes_up: 600,
                    bytes_down: 2 * down,
                    ..Counts::default()
                },
                layers: vec![
                    layer("1x1", 1, traffic(down)),
                    layer("cross", 1, traffic(down)),
                ],
                ..Measured::default()
            })
        };
        let bench = empty()
            .with(("a", "segment", "lan"), run(100))
            .with(("a", "coefficient", "lan"), run(700))
            .with(("b", "segment", "lan"), run(700))
            // The WAN's run is taken where there are two.
            .with(("b", "coefficient", "lan"), run(9))
            .with(("b", "coefficient", "wan"), run(500))
            .with(("c", "segment", "lan"), run(1));
        assert_eq!(
            measured(&bench)[2],
            [
                "85.71 % less in the ciphertexts of the 1x1 layers of a: 100 B against 700 B; \
                 60.00 % less with their ReLUs",
                "60.00 % less in all of a: 800 B against 2.0 KiB",
                "40.00 % more in the ciphertexts of the 1x1 layers of b: 700 B against 500 B; \
                 25.00 % more with their ReLUs",
                "25.00 % more in all of b: 2.0 KiB against 1.6 KiB",
            ]
        );
    }

    #[test]
    fn time_is_compared_on_the_same_link_and_data_set() {
        let took = |seconds| took(seconds, Counts::default());
        let bench = empty()
            .with(("strianet-c10", "segment", "lan"), took(2.0))
            .with(("strianet-c10", "segment", "wan"), took(4.0))
            .with(("resnet20", "coefficient", "lan"), took(18.48))
            .with(("resnet20", "slot", "lan"), took(1.0))
            .with(("resnet20", "slot", "wan"), took(400.0))
            .with(("resnet18", "slot", "wan"), took(400.0));
        let all = measured(&bench);
        assert_eq!(
            all[5],
            [
                "9.24x on lan: resnet20 in coefficient packing takes 18.5 s, strianet-c10 2.00 s",
                "0.50x on lan: resnet20 in slot packing takes 1.00 s, strianet-c10 2.00 s",
                "100.00x on wan: resnet20 in slot packing takes 400 s, strianet-c10 4.00 s",
            ]
        );
        assert_eq!(all[3], [NOT_MEASURED]);
        assert_eq!(all[4], [NOT_MEASURED]);
    }
}
