//! Labelled images: the classic CIFAR-10 binary files, or a folder per class.

use std::path::{Path, PathBuf};

use image::RgbImage;

use super::cifar::{self, RECORD};
use super::error::DataError;
use super::picture::{self, ImageError};

/// Extensions of files in class folders that are images.
const EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "ppm", "pgm", "pnm"];

/// Images with their classes, in a fixed order.
#[derive(Debug)]
pub struct Dataset {
    labels: Vec<usize>,
    images: Images,
}

#[derive(Debug)]
enum Images {
    /// Records of the binary files.
    Cifar(Vec<u8>),
    /// Files, decoded when they are asked for.
    Files(Vec<PathBuf>),
}

impl Dataset {
    /// Opens the pictures in `folder` for calibration, which needs no classes: every label is 0.
    ///
    /// data_batch_*.bin, else the pictures in the folder and in its subfolders, by name. Never
    /// test_batch.bin: what a model is measured on is not what it is made from.
    pub fn unlabelled(folder: &Path) -> Result<Self, DataError> {
        let entries = list(folder)?;
        let batches: Vec<PathBuf> = entries.iter().filter(|p| is_batch(p)).cloned().collect();
        if !batches.is_empty() {
            let mut dataset = Self::cifar(&batches, usize::from(u8::MAX) + 1)?;
            dataset.labels.fill(0);
            return dataset.not_empty(folder);
        }
        let mut files = Vec::new();
        for path in entries {
            if path.is_dir() && !is_hidden(&path) {
                files.extend(list(&path)?.into_iter().filter(|path| is_image(path)));
            } else if is_image(&path) {
                files.push(path);
            }
        }
        let labels = vec![0; files.len()];
        let images = Images::Files(files);
        Self { labels, images }.not_empty(folder)
    }

    /// Opens what is in `folder`: test_batch.bin, else data_batch_*.bin, else a folder per class.
    pub fn open(folder: &Path, classes: &[String]) -> Result<Self, DataError> {
        let entries = list(folder)?;
        let test = folder.join("test_batch.bin");
        let batches: Vec<PathBuf> = if entries.contains(&test) {
            vec![test]
        } else {
            entries.iter().filter(|p| is_batch(p)).cloned().collect()
        };
        let dataset = if batches.is_empty() {
            Self::class_folders(folder, &entries, classes)?
        } else {
            Self::cifar(&batches, classes.len())?
        };
        dataset.not_empty(folder)
    }

    fn not_empty(self, folder: &Path) -> Result<Self, DataError> {
        if self.labels.is_empty() {
            return Err(DataError::Empty {
                path: folder.into(),
            });
        }
        Ok(self)
    }

    fn cifar(files: &[PathBuf], classes: usize) -> Result<Self, DataError> {
        let mut records = Vec::new();
        let mut labels = Vec::new();
        for path in files {
            let bytes = read(path)?;
            if bytes.len() % RECORD != 0 {
                return Err(DataError::Length {
                    path: path.clone(),
                    bytes: bytes.len(),
                });
            }
            for (record, bytes) in bytes.chunks_exact(RECORD).enumerate() {
                let label = cifar::label(bytes);
                if label >= classes {
                    return Err(DataError::Label {
                        path: path.clone(),
                        record,
                        label,
                        classes,
                    });
                }
                labels.push(label);
            }
            records.extend_from_slice(&bytes);
        }
        Ok(Self {
            labels,
            images: Images::Cifar(records),
        })
    }

    fn class_folders(
        folder: &Path,
        entries: &[PathBuf],
        classes: &[String],
    ) -> Result<Self, DataError> {
        let (mut labels, mut files) = (Vec::new(), Vec::new());
        for path in entries
            .iter()
            .filter(|path| path.is_dir() && !is_hidden(path))
        {
            let label = classes.iter().position(|class| class == name(path));
            let label = label.ok_or_else(|| DataError::UnknownClass { path: path.clone() })?;
            let images = list(path)?.into_iter().filter(|path| is_image(path));
            files.extend(images);
            labels.resize(files.len(), label);
        }
        if files.is_empty() {
            return Err(DataError::Unknown {
                path: folder.into(),
            });
        }
        Ok(Self {
            labels,
            images: Images::Files(files),
        })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none; never, for a set that was opened.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Class index of image `i`.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn label(&self, i: usize) -> usize {
        self.labels[i]
    }

    /// What image `i` is called: "FOLDER/FILE" without the file's extension, or the number of a
    /// CIFAR-10 record, over all files.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn name(&self, i: usize) -> String {
        match &self.images {
            Images::Cifar(_) => i.to_string(),
            Images::Files(files) => {
                let stem = files[i].file_stem().unwrap_or_default().to_string_lossy();
                let folder = files[i].parent().map_or("", name);
                format!("{folder}/{stem}")
            }
        }
    }

    /// Image `i` in its own size.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn image(&self, i: usize) -> Result<RgbImage, ImageError> {
        match &self.images {
            Images::Files(files) => picture::open(&files[i]),
            Images::Cifar(records) => Ok(cifar::picture(&records[i * RECORD..][..RECORD])),
        }
    }
}

/// The last part of a path, empty where it is not text.
fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("")
}

fn is_batch(path: &Path) -> bool {
    name(path).starts_with("data_batch_") && name(path).ends_with(".bin")
}

fn is_hidden(path: &Path) -> bool {
    name(path).starts_with('.')
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|e| EXTENSIONS.contains(&e.to_ascii_lowercase().as_str()))
}

/// The entries of a folder, by name.
fn list(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let error = |source| DataError::Read {
        path: folder.into(),
        source,
    };
    let mut entries = std::fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<Result<Vec<_>, _>>()
        })
        .map_err(error)?;
    entries.sort();
    Ok(entries)
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    std::fs::read(path).map_err(|source| DataError::Read {
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cifar::PLANE;
    use image::Rgb;

    /// A folder that is removed when the test ends.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("stria-data-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            let path = self.0.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }

        fn open(&self) -> Result<Dataset, DataError> {
            let classes = ["cat", "dog"].map(String::from);
            Dataset::open(&self.0, &classes)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// A record whose planes hold the column, the row and a constant.
    fn record(label: u8, blue: u8) -> Vec<u8> {
        let pixels = 0..PLANE;
        let mut bytes = vec![label];
        bytes.extend(pixels.clone().map(|i| (i % 32) as u8));
        bytes.extend(pixels.clone().map(|i| (i / 32) as u8));
        bytes.extend(pixels.map(|_| blue));
        bytes
    }

    #[test]
    fn cifar_planes_become_pixels() {
        let folder = Folder::new("cifar");
        folder.write("data_batch_2.bin", &record(0, 2));
        folder.write("data_batch_1.bin", &[record(1, 9), record(0, 1)].concat());
        let training = folder.open().unwrap();
        assert_eq!(training.labels, [1, 0, 0]);
        assert_eq!(
            training.image(1).unwrap().get_pixel(5, 30),
            &Rgb([5, 30, 1])
        );

        folder.write("test_batch.bin", &record(1, 77));
        let test = folder.open().unwrap();
        assert_eq!((test.len(), test.label(0)), (1, 1));
        assert_eq!(test.image(0).unwrap().get_pixel(31, 0), &Rgb([31, 0, 77]));
    }

    #[test]
    fn broken_cifar_files_are_refused() {
        let folder = Folder::new("broken");
        folder.write("test_batch.bin", &record(0, 0)[1..]);
        let error = folder.open().unwrap_err();
        assert!(
            matches!(error, DataError::Length { bytes: 3072, .. }),
            "{error}"
        );
        folder.write("test_batch.bin", &[record(1, 0), record(2, 0)].concat());
        let error = folder.open().unwrap_err();
        let expected = matches!(
            error,
            DataError::Label {
                record: 1,
                label: 2,
                ..
            }
        );
        assert!(expected, "{error}");
        folder.write("test_batch.bin", &[]);
        let error = folder.open().unwrap_err();
        assert!(matches!(error, DataError::Empty { .. }), "{error}");
    }

    #[test]
    fn folders_are_classes() {
        let folder = Folder::new("folders");
        let error = folder.open().unwrap_err();
        assert!(matches!(error, DataError::Unknown { .. }), "{error}");
        folder.write("dog/b.ppm", b"P3 1 1 255 1 2 3");
        folder.write("dog/a.PPM", b"P3 1 1 255 4 5 6");
        folder.write("dog/notes.txt", b"not an image");
        folder.write("cat/c.ppm", b"P3 1 1 255 7 8 9");
        let dataset = folder.open().unwrap();
        assert_eq!(dataset.labels, [0, 1, 1]);
        assert_eq!(dataset.image(1).unwrap().get_pixel(0, 0), &Rgb([4, 5, 6]));
        folder.write("bird/d.ppm", b"P3 1 1 255 7 8 9");
        let error = folder.open().unwrap_err();
        assert!(matches!(error, DataError::UnknownClass { .. }), "{error}");
    }

    #[test]
    fn calibration_needs_no_classes_and_takes_no_test_images() {
        let folder = Folder::new("unlabelled");
        folder.write("test_batch.bin", &record(0, 7));
        let error = Dataset::unlabelled(&folder.0).unwrap_err();
        assert!(matches!(error, DataError::Empty { .. }), "{error}");
        folder.write("b.ppm", b"P3 1 1 255 1 2 3");
        folder.write("any/a.ppm", b"P3 1 1 255 4 5 6");
        folder.write(".hidden/c.ppm", b"P3 1 1 255 7 8 9");
        let pictures = Dataset::unlabelled(&folder.0).unwrap();
        assert_eq!(pictures.labels, [0, 0]);
        assert_eq!(pictures.image(0).unwrap().get_pixel(0, 0), &Rgb([4, 5, 6]));
        folder.write("data_batch_1.bin", &[record(9, 1), record(255, 2)].concat());
        let records = Dataset::unlabelled(&folder.0).unwrap();
        assert_eq!(records.labels, [0, 0]);
        let blue = records.image(1).unwrap().get_pixel(3, 4)[2];
        assert_eq!(blue, 2);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Dataset::open(Path::new("no/such/folder"), &[]).unwrap_err();
        assert!(error.to_string().contains("no/such/folder"), "{error}");
    }
}
