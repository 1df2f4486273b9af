//! The model and the sample images that come with the source.

use std::path::{Path, PathBuf};

/// Folder of the model and the samples, below the current folder or beside this crate.
const MODELS: &str = "models";
const MODEL: &str = "strianet-c10.safetensors";
const SAMPLES: &str = "samples";

/// Something that comes with the source and was not found.
#[derive(Debug, thiserror::Error)]
#[error("cannot find the bundled {what} {}; run from the repository's root, or name a file", path.display())]
pub struct NotFound {
    what: &'static str,
    path: PathBuf,
}

/// The bundled model file.
pub fn model() -> Result<PathBuf, NotFound> {
    find(Path::new(MODEL)).ok_or(NotFound {
        what: "model",
        path: Path::new(MODELS).join(MODEL),
    })
}

/// The bundled sample images, by name.
pub fn samples() -> Result<Vec<PathBuf>, NotFound> {
    let folder = find(Path::new(SAMPLES));
    let entries = folder.and_then(|folder| std::fs::read_dir(folder).ok());
    let mut images: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "png"))
        .collect();
    images.sort();
    if images.is_empty() {
        return Err(NotFound {
            what: "samples",
            path: Path::new(MODELS).join(SAMPLES),
        });
    }
    Ok(images)
}

/// The class in a file name like "03-cat.png", if it is one.
pub fn label<'a>(path: &Path, classes: &'a [String]) -> Option<&'a str> {
    let stem = path.file_stem()?.to_str()?;
    let (number, name) = stem.split_once('-')?;
    number.parse::<u32>().ok()?;
    classes
        .iter()
        .find(|class| *class == name)
        .map(|class| class.as_str())
}

fn find(name: &Path) -> Option<PathBuf> {
    let here = Path::new(MODELS).join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(MODELS)
        .join(name);
    [here, source].into_iter().find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_in_file_names() {
        let classes = ["cat", "dog"].map(String::from);
        let of = |name: &str| label(Path::new(name), &classes);
        assert_eq!(of("models/samples/07-cat.png"), Some("cat"));
        assert_eq!(of("19-dog.png"), Some("dog"));
        assert_eq!(of("cat.png"), None);
        assert_eq!(of("my-cat.png"), None);
        assert_eq!(of("01-bird.png"), None);
    }
}
