//! The executor against a convolution written from its definition.

use super::*;
use crate::model::Integers;
use crate::model::schema::{Input, Layer, Network, Pool, Skip};

/// A small generator (splitmix64): the same layers on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.next() as usize % from.len()]
    }

    fn values(&mut self, count: usize, limit: i32) -> Vec<i32> {
        let value = |_| (self.next() % (2 * limit as u64 + 1)) as i32 - limit;
        (0..count).map(value).collect()
    }
}

/// A tensor as nested lists: [channel][row][col].
type Maps = Vec<Vec<Vec<i64>>>;

fn nested(values: &[i32], side: usize) -> Maps {
    let row = |row: &[i32]| row.iter().map(|&v| v.into()).collect();
    let map = |map: &[i32]| map.chunks(side).map(row).collect();
    values.chunks(side * side).map(map).collect()
}

fn flat(maps: &Maps) -> Vec<i32> {
    let values = maps.iter().flatten().flatten();
    values.map(|&v| i32::try_from(v).unwrap()).collect()
}

/// y of one layer, step by step as the model file's documentation says it.
fn naive(layer: &Layer, integers: &Integers, input: &Maps, skip: Option<&Maps>) -> Maps {
    // Shuffle: view the channels as a matrix of G rows, and read it by columns.
    let columns = input.len() / layer.shuffle as usize;
    let mut x: Maps = Vec::new();
    for column in 0..columns {
        for row in 0..layer.shuffle as usize {
            x.push(input[row * columns + column].clone());
        }
    }
    let window = window(layer, x[0].len());
    for map in &mut x {
        let out = map.len() / window;
        let mut pooled = vec![vec![0; out]; out];
        for (r, row) in map.iter().enumerate() {
            for (c, value) in row.iter().enumerate() {
                pooled[r / window][c / window] += value;
            }
        }
        *map = pooled;
    }
    let padding = layer.padding as usize;
    let side = x[0].len() + 2 * padding;
    for map in &mut x {
        let mut padded = vec![vec![0; side]; side];
        for (r, row) in map.iter().enumerate() {
            for (c, &value) in row.iter().enumerate() {
                padded[r + padding][c + padding] = value;
            }
        }
        *map = padded;
    }
    let kernel = layer.kernel as usize;
    let group_inputs = (layer.channels[0] / layer.groups) as usize;
    let group_outputs = (layer.channels[1] / layer.groups) as usize;
    let weight = |out: usize, channel: usize, row: usize, col: usize| {
        let taps = if layer.cross { 5 } else { kernel * kernel };
        let tap = match (layer.cross, row, col) {
            (false, ..) => row * kernel + col,
            (true, 0, 1) => 0,
            (true, 1, 0) => 1,
            (true, 1, 1) => 2,
            (true, 1, 2) => 3,
            (true, 2, 1) => 4,
            _ => return 0,
        };
        i64::from(integers.weights[(out * group_inputs + channel) * taps + tap])
    };
    let stride = layer.stride as usize;
    let out_side = (side - kernel) / stride + 1;
    let mut y = vec![vec![vec![0; out_side]; out_side]; layer.channels[1] as usize];
    for (out, map) in y.iter_mut().enumerate() {
        let first = out / group_outputs * group_inputs;
        for (r, row) in map.iter_mut().enumerate() {
            for (c, sum) in row.iter_mut().enumerate() {
                *sum = i64::from(integers.bias[out]);
                for channel in 0..group_inputs {
                    for i in 0..kernel {
                        for j in 0..kernel {
                            let pixel = x[first + channel][r * stride + i][c * stride + j];
                            *sum += weight(out, channel, i, j) * pixel;
                        }
                    }
                }
                if let (Some(skip), Some(values)) = (&layer.skip, skip) {
                    *sum += skip.factor as i64 * values[out][r][c];
                }
            }
        }
    }
    y
}

/// Side of the squares that are summed.
fn window(layer: &Layer, side: usize) -> usize {
    match layer.pool {
        Pool::Map(true) => side,
        Pool::Map(false) => 1,
        Pool::Window(side) => side as usize,
    }
}

fn convolution(name: &str, input: &str, channels: [u64; 2], kernel: u64) -> Layer {
    Layer {
        name: name.into(),
        input: input.into(),
        channels,
        kernel,
        cross: false,
        stride: 1,
        padding: 0,
        groups: 1,
        shuffle: 1,
        pool: Pool::default(),
        skip: None,
        relu: true,
        max_abs: Some(500_000),
        repeat: None,
        tile: None,
    }
}

fn integers(random: &mut Random, layer: &Layer) -> Integers {
    let taps = if layer.cross { 5 } else { layer.kernel.pow(2) };
    let weights = layer.channels[0] / layer.groups * layer.channels[1] * taps;
    Integers {
        weights: random.values(weights as usize, 60),
        bias: random.values(layer.channels[1] as usize, 20_000),
    }
}

/// A stem, a layer with everything at random, and a classifier; and which features it has.
fn network(random: &mut Random) -> (Network, Vec<&'static str>) {
    let channels = random.pick(&[1, 3]);
    let side = random.pick(&[4, 5, 7, 9]);
    let width = random.pick(&[4, 8]);
    let mut stem = convolution("stem", "image", [channels, width], random.pick(&[1, 2, 3]));
    stem.stride = random.pick(&[1, 2, 3]);
    stem.padding = random.next() % stem.kernel;
    let stem_side = (side + 2 * stem.padding - stem.kernel) / stem.stride + 1;

    let mut layer = convolution("layer", "stem", [width, random.pick(&[4, 8])], 1);
    layer.pool = match random.next() % 10 {
        0 | 1 => Pool::Map(true),
        2.. if stem_side.is_multiple_of(2) => Pool::Window(2),
        _ => Pool::Map(false),
    };
    let side_in = stem_side / window(&layer, stem_side as usize) as u64;
    layer.cross = random.next().is_multiple_of(3);
    layer.kernel = if layer.cross {
        3
    } else {
        random.pick(&[1, 2, 3, 4, 5])
    };
    layer.stride = random.pick(&[1, 1, 2, 3]);
    layer.padding = random.next() % layer.kernel;
    if side_in + 2 * layer.padding < layer.kernel {
        layer.padding = layer.kernel - 1;
    }
    layer.groups = random.pick(&[1, 2, 4]);
    layer.shuffle = random.pick(&[1, 2, 4]);
    let out_side = (side_in + 2 * layer.padding - layer.kernel) / layer.stride + 1;
    let fits = (layer.channels[1], out_side) == (width, stem_side);
    if fits {
        layer.skip = Some(Skip {
            from: "stem".into(),
            factor: random.pick(&[1, 256]),
        });
    }
    // Sums of many that are not truncated could leave 32 bits.
    layer.relu = out_side > 2 || random.next().is_multiple_of(2);
    let mut fc = convolution("fc", "layer", [layer.channels[1], 3], 1);
    fc.pool = Pool::Map(true);
    fc.relu = false;

    let features = [
        (stem.stride > 1, "strided stem"),
        (layer.stride > 1, "stride"),
        (layer.padding > 0, "padding"),
        (layer.groups > 1, "groups"),
        (layer.shuffle > 1, "shuffle"),
        (layer.groups > 1 && layer.shuffle > 1, "shuffled groups"),
        (layer.cross, "cross"),
        (layer.pool == Pool::Map(true), "pool"),
        (layer.pool == Pool::Window(2), "pooling window"),
        (!layer.relu, "no activation"),
        (layer.skip.is_some(), "skip"),
        (layer.skip.is_some() && layer.groups > 1, "grouped skip"),
    ];
    let network = Network {
        schema: 1,
        name: "random".into(),
        classes: ["a", "b", "c"].map(String::from).to_vec(),
        input: Input {
            channels: channels as usize,
            side: side as usize,
            resize: side as usize,
            mean: vec![0.5; channels as usize],
            std: vec![0.25; channels as usize],
            scale: 64.0,
        },
        shift: random.pick(&[8, 9, 12]) as u32,
        logit_scale: 1024.0,
        layers: vec![stem, layer, fc],
    };
    let present = features.into_iter().filter(|(present, _)| *present);
    (network, present.map(|(_, name)| name).collect())
}

#[test]
fn random_networks_match_the_definition() {
    let mut random = Random(1);
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..300 {
        let (network, features) = network(&mut random);
        for feature in features {
            *seen.entry(feature).or_insert(0) += 1;
        }
        let layers = network.layers.clone();
        let all: Vec<Integers> = layers.iter().map(|l| integers(&mut random, l)).collect();
        let model = Model::new(network, all.clone()).unwrap();
        let pixels = model.input.channels * model.input.side.pow(2);
        let image = random.values(pixels, 128);
        let trace = trace(&model, &image);

        let mut outputs = vec![nested(&image, model.input.side)];
        let mut tensors = vec![image.clone()];
        for (i, (layer, integers)) in layers.iter().zip(&all).enumerate() {
            let skip = layer.skip.as_ref().map(|_| &outputs[1]);
            let y = naive(layer, integers, &outputs[i], skip);
            assert_eq!(trace.layers[i].y, flat(&y), "{layer:?}");
            assert_eq!(sums(&model, i, &tensors), flat(&y), "{layer:?}");
            let mut output = y;
            if layer.relu {
                let divisor = 1i64 << model.shift;
                let values = output.iter_mut().flatten().flatten();
                values.for_each(|y| *y = y.div_euclid(divisor).max(0));
            }
            assert_eq!(trace.layers[i].output, flat(&output));
            tensors.push(flat(&output));
            outputs.push(output);
        }
        assert_eq!(trace.logits(), trace.layers[2].y);
    }
    assert_eq!(seen.len(), 12, "{seen:?}");
    assert!(seen.values().all(|&count| count >= 10), "{seen:?}");
}

#[test]
fn lanes_do_not_mix() {
    let mut random = Random(2);
    let (network, _) = network(&mut random);
    let all = network
        .layers
        .iter()
        .map(|l| integers(&mut random, l))
        .collect();
    let model = Model::new(network, all).unwrap();
    let pixels = model.input.channels * model.input.side.pow(2);
    let images: Vec<Vec<i32>> = (0..LANES).map(|_| random.values(pixels, 128)).collect();
    for count in [0, 1, 3, LANES] {
        let batch: Vec<&[i32]> = images[..count].iter().map(Vec::as_slice).collect();
        let scored = logits(&model, &batch);
        assert_eq!(scored.len(), count);
        for (scored, image) in scored.iter().zip(&images) {
            assert_eq!(scored.logits, trace(&model, image).logits());
        }
    }
}

#[test]
fn sums_out_of_range_are_found() {
    let mut stem = convolution("stem", "image", [1, 2], 1);
    let mut fc = convolution("fc", "stem", [2, 2], 1);
    (fc.pool, fc.relu) = (Pool::Map(true), false);
    stem.max_abs = Some(500_000);
    let input = Input {
        channels: 1,
        side: 2,
        resize: 2,
        mean: vec![0.0],
        std: vec![1.0],
        scale: 255.0,
    };
    let network = Network {
        schema: 1,
        name: "edge".into(),
        classes: ["a", "b"].map(String::from).to_vec(),
        input,
        shift: 8,
        logit_scale: 1.0,
        layers: vec![stem, fc],
    };
    // The largest and smallest sums that are allowed: 524,031 = 127 * 4096 + 3839 and
    // -519,936 = 127 * -4096 + 256.
    let all = vec![
        Integers {
            weights: vec![4096, -4096],
            bias: vec![3839, 256],
        },
        Integers {
            weights: vec![1; 4],
            bias: vec![0; 2],
        },
    ];
    let model = Model::new(network, all).unwrap();
    let inside = [127, 0, -127, 5];
    assert!(checked(&model, &inside).is_ok());
    assert_eq!(logits(&model, &[&inside])[0].out_of_range, 0);
    let outside = [127, 0, 128, 5];
    let error = checked(&model, &outside).unwrap_err();
    assert_eq!((error.channel, error.y), (0, 128 * 4096 + 3839));
    assert!(error.to_string().contains("stem"), "{error}");
    // 128 is too much in channel 0, and too little in channel 1.
    let scored = logits(&model, &[&inside, &outside]);
    assert_eq!((scored[0].out_of_range, scored[1].out_of_range), (0, 2));
}
