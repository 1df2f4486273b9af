//! The report of `stria bench` as a browser shows it. What opens one is ignored unless
//! STRIA_REQUIRE_BROWSER is set; then a Chromium must be there or be installed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use image::RgbImage;
use stria_host::report::html::html;
use stria_host::report::{
    Bench, Counts, LayerShape, Machine, Measured, MeasuredLayer, NetworkFacts, Operations, Outcome,
    PhasePart, Predicted, Run,
};
use stria_host::transport::LinkSpeed;

const PACKINGS: [&str; 3] = ["segment", "coefficient", "slot"];
const COLOURS: [[u8; 3]; 3] = [[0, 114, 178], [230, 159, 0], [0, 158, 115]];
const HOSTILE: &str = "<script>document.title=1</script><img src=x>\"'&amp;";
const NETWORKS: [&str; 4] = ["strianet-cifar10", "resnet20", "resnet32", HOSTILE];

/// Height of a box that holds one plot.
const BOX: u32 = 560;

fn network(name: &str) -> NetworkFacts {
    NetworkFacts {
        name: name.into(),
        about: "A network, 10 classes".into(),
        deviations: vec!["max pooling is replaced by average pooling".into()],
        random_weights: true,
        parameters: 270_000,
        activations: 96_320,
        side: 31,
        classes: 10,
    }
}

/// What a run could take: more for later networks and packings, and on slower links.
fn measured(network: usize, packing: usize, wan: bool) -> Measured {
    let size = [1, 4, 7, 2][network] * [1, 3, 8][packing];
    let rotations = if packing == 2 { size } else { 0 };
    let counts = |share: u64| Counts {
        bytes_up: 150_000 * size * share,
        bytes_down: 90_000 * size * share,
        ciphertext_bytes: 160_000 * size * share,
        operations: Operations {
            ciphertexts_up: size * share,
            ciphertexts_down: size * share / 2,
            products: 64 * size * share,
            internal_rotations: 40 * rotations * share,
            external_rotations: 25 * rotations * share,
            key_switches: 65 * rotations * share,
            activations: 4000 * share,
        },
    };
    let seconds = size as f64 * if wan { 2.3 } else { 0.8 };
    let layers = (1..=12).map(|i| MeasuredLayer {
        shape: LayerShape {
            name: format!("s{i}.reduce"),
            channels: [64, 64],
            side: 15,
            kernel: ["3x3", "1x1", "cross"][i % 3].into(),
            stride: 1,
            groups: 4,
        },
        seconds: seconds * (1 + i % 5) as f64 / 35.0,
        counts: counts(1),
    });
    Measured {
        prepare: PhasePart::default(),
        answer: PhasePart::default(),
        seconds: vec![seconds * 0.97, seconds, seconds * 1.1],
        median_seconds: seconds,
        setup_seconds: 0.31,
        setup_bytes: 339_000,
        galois_key_bytes: if packing == 2 { 48 << 20 } else { 0 },
        agree: 3,
        largest_logit_error: 0.0021,
        client_state_bytes: 358_000,
        client_memory_bytes: Some(21 << 20),
        server_memory_bytes: None,
        counts: counts(12),
        predicted: Predicted {
            prepare: PhasePart::default(),
            answer: PhasePart::default(),
            seconds: seconds * 0.9,
            counts: counts(12),
        },
        layers: layers.collect(),
    }
}

/// All networks in all packings over two links; the last network's slot packing failed.
fn bench() -> Bench {
    let links = ["lan", "wan"].map(|name| LinkSpeed::named(name).unwrap());
    let mut runs = Vec::new();
    for (i, network) in NETWORKS.iter().enumerate() {
        for (j, packing) in PACKINGS.iter().enumerate() {
            for link in &links {
                let outcome = if (i, j) == (3, 2) {
                    let error = "the server has no memory for <b>keys</b>".into();
                    Outcome::Failed { error }
                } else {
                    Outcome::Measured(measured(i, j, link.name == "wan"))
                };
                runs.push(Run {
                    network: network.to_string(),
                    packing: packing.to_string(),
                    link: link.name.clone(),
                    outcome,
                });
            }
        }
    }
    Bench {
        version: "0.1.0".into(),
        machine: Machine {
            processor: Some("A processor & more".into()),
            cores: 2,
            memory_bytes: Some(8 << 30),
        },
        networks: NETWORKS.map(network).into(),
        links: links.into(),
        runs,
    }
}

/// A plot in a page.
struct Figure<'a> {
    id: &'a str,
    points: usize,
    /// Without its end tag.
    element: &'a str,
}

fn figures(page: &str) -> Vec<Figure<'_>> {
    page.match_indices("<figure ")
        .map(|(start, _)| {
            let (element, _) = page[start..].split_once("</figure>").unwrap();
            Figure {
                id: attribute(element, "id"),
                points: attribute(element, "data-points").parse().unwrap(),
                element,
            }
        })
        .collect()
}

fn attribute<'a>(element: &'a str, name: &str) -> &'a str {
    let (_, rest) = element.split_once(&format!(" {name}=\"")).unwrap();
    rest.split_once('"').unwrap().0
}

/// Marks in an SVG: plots have no other rectangles and circles.
fn marks(element: &str) -> usize {
    element.matches("<rect ").count() + element.matches("<circle ").count()
}

#[test]
fn every_plot_says_how_many_values_it_shows() {
    let page = html(&bench()).unwrap();
    let figures = figures(&page);
    let ids: Vec<_> = figures.iter().map(|figure| figure.id).collect();
    let expected = [
        ("time-1", 11),
        ("time-2", 11),
        ("traffic", 22),
        // None in segment and two kinds in slot packing, of three networks.
        ("rotations", 9),
        ("prediction-1", 22),
        ("prediction-2", 22),
    ];
    for (id, points) in expected {
        let figure = figures.iter().find(|figure| figure.id == id).unwrap();
        assert_eq!(figure.points, points, "{id}");
    }
    for figure in &figures {
        assert_eq!(marks(figure.element), figure.points, "{}", figure.id);
        if figure.id.starts_with("layers-") {
            assert_eq!(figure.points, 12, "{}", figure.id);
        }
    }
    assert_eq!(ids.len(), expected.len() + 11, "{ids:?}");
}

#[test]
fn names_and_errors_are_only_text() {
    let page = html(&bench()).unwrap();
    for tag in ["<script", "<img", "<b>"] {
        assert!(!page.contains(tag), "{tag}");
    }
    assert!(page.contains("&lt;script&gt;document.title=1&lt;/script&gt;"));
    assert!(page.contains("failed: the server has no memory for &lt;b&gt;keys&lt;/b&gt;"));
    // Nothing is loaded from anywhere.
    for load in [" src=\"", " href=\"", "url(", "@import"] {
        assert!(!page.contains(load), "{load}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn without_values_there_are_sentences_instead_of_plots() {
    let mut bench = bench();
    for run in &mut bench.runs {
        let error = "out of time".into();
        run.outcome = Outcome::Failed { error };
    }
    let page = html(&bench).unwrap();
    assert!(figures(&page).is_empty() && !page.contains("<svg"));
    for sentence in [
        "no inference came to its end on this link",
        "Traffic up and down: no inference came to its end",
        "no network with rotations was measured in slot packing",
        "so there are no layers to show",
        "not measured in this run",
    ] {
        assert!(page.contains(sentence), "{sentence}");
    }
    bench.runs.clear();
    bench.networks.clear();
    bench.links.clear();
    assert!(figures(&html(&bench).unwrap()).is_empty());
}

#[test]
#[cfg_attr(
    not(require_browser),
    ignore = "needs a browser: set STRIA_REQUIRE_BROWSER"
)]
fn a_browser_shows_every_plot() {
    let browser = Browser::find();
    let report = browser.write("report.html", &html(&bench()).unwrap());
    let dom = browser.run(&report, &["--dump-dom"]);
    let figures = figures(&dom);
    assert_eq!(figures.len(), 17);
    assert!(dom.contains("<title>Stria benchmark</title>") && !dom.contains("<script"));

    let page = browser.screenshot(&report, "report.png", 1200, 4000);
    assert_eq!(page.dimensions(), (1200, 4000));
    let colours: HashSet<_> = page.pixels().map(|pixel| pixel.0).collect();
    assert!(colours.len() > 100, "{} colours", colours.len());

    // Each plot in a box of its own, to know which pixels are whose.
    let (_, rest) = dom.split_once("<style>").unwrap();
    let (style, _) = rest.split_once("</style>").unwrap();
    let mut boxes = format!("<!DOCTYPE html><meta charset=\"utf-8\"><style>{style}</style>");
    for (i, figure) in figures.iter().enumerate() {
        boxes += &format!(
            "<div style=\"position:absolute;left:0;top:{}px;width:640px;height:{BOX}px;overflow:hidden\">{}</figure></div>",
            i as u32 * BOX,
            figure.element
        );
    }
    let path = browser.write("boxes.html", &boxes);
    let height = figures.len() as u32 * BOX;
    let picture = browser.screenshot(&path, "boxes.png", 640, height);
    for (i, figure) in figures.iter().enumerate() {
        let rows = i as u32 * BOX..(i as u32 + 1) * BOX;
        for (packing, colour) in PACKINGS.iter().zip(COLOURS) {
            let shown = match figure.id {
                "rotations" => *packing != "coefficient",
                id if id.starts_with("layers-") => id.ends_with(packing),
                _ => true,
            };
            let pixels = count(&picture, rows.clone(), colour);
            if shown {
                assert!(pixels > 40, "{}, {packing}: {pixels} pixels", figure.id);
            } else {
                assert_eq!(pixels, 0, "{}, {packing}", figure.id);
            }
        }
    }
}

/// Pixels of a colour in some rows.
fn count(picture: &RgbImage, rows: std::ops::Range<u32>, colour: [u8; 3]) -> usize {
    let pixels = picture.enumerate_pixels();
    pixels
        .filter(|(_, y, pixel)| rows.contains(y) && pixel.0 == colour)
        .count()
}

/// A Chromium, and a folder for its files that is removed when the test ends.
struct Browser {
    program: String,
    folder: PathBuf,
}

impl Browser {
    /// The browser of this machine; installs one where that is possible.
    fn find() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser.sh");
        let output = Command::new("bash").arg(script).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let folder = std::env::temp_dir().join(format!("stria-report-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self {
            program: String::from_utf8(output.stdout).unwrap().trim().into(),
            folder,
        }
    }

    fn write(&self, name: &str, page: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, page).unwrap();
        path
    }

    /// Opens a page, and gives what the browser prints.
    fn run(&self, page: &Path, arguments: &[&str]) -> String {
        let output = self.folder.join("output");
        let mut process = Command::new(&self.program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--no-first-run",
                "--hide-scrollbars",
                "--force-color-profile=srgb",
                "--force-device-scale-factor=1",
            ])
            .arg(format!("--user-data-dir={}/profile", self.folder.display()))
            .args(arguments)
            .arg(format!("file://{}", page.display()))
            .stdout(std::fs::File::create(&output).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        let status = loop {
            if let Some(status) = process.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > Duration::from_secs(120) {
                let _ = process.kill();
                let _ = process.wait();
                panic!("Chromium did not end: {arguments:?}");
            }
            thread::sleep(Duration::from_millis(50));
        };
        assert!(status.success(), "{arguments:?}: {status}");
        std::fs::read_to_string(output).unwrap()
    }

    fn screenshot(&self, page: &Path, name: &str, width: u32, height: u32) -> RgbImage {
        let path = self.folder.join(name);
        let screenshot = format!("--screenshot={}", path.display());
        let size = format!("--window-size={width},{height}");
        self.run(page, &[&screenshot, &size]);
        image::open(path).unwrap().to_rgb8()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A test that fails leaves what it saw.
        if !thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
