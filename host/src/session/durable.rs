//! Files of tickets: whole and on the disk, or gone for good, whatever happens in between.
//! `core/docs/design.md#tickets`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Result, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Ends of the names of files on their way in and out, which count for nothing.
const TMP: &str = "tmp";
const SPENT: &str = "spent";
/// Zeros that are written at a time.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// Makes a folder for secrets, with all above it.
pub fn folder(path: &Path) -> Result<()> {
    if !path.is_dir() {
        fs::create_dir_all(path)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        }
    }
    Ok(())
}

/// Locks a folder, as long as the file is open: alone, or together with others who do not clean it.
pub fn lock(folder: &Path, alone: bool) -> Result<File> {
    let lock = File::create(folder.join("lock"))?;
    let locked = match alone {
        true => lock.try_lock(),
        false => lock.try_lock_shared(),
    };
    locked.map_err(|error| match error {
        TryLockError::WouldBlock => ErrorKind::ResourceBusy.into(),
        TryLockError::Error(error) => error,
    })?;
    Ok(lock)
}

/// Erases what a crash left on its way in or out of a folder. Only who has locked it alone may do so:
/// others have files on their way.
pub fn clean(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if has_end(&path, TMP) || has_end(&path, SPENT) {
            erase(&path)?;
        }
    }
    Ok(())
}

/// Which file it is: its number, and when it was born. No copy has both again, and a file keeps them
/// when its name changes.
pub type Itself = [u8; 24];

/// See [`Itself`]. An error where the file system does not tell: there, copies are not noticed.
pub fn itself(file: &File) -> Result<Itself> {
    let metadata = file.metadata()?;
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let number = 0u64;
    let born = metadata.created()?.duration_since(UNIX_EPOCH);
    let born = born.map_err(std::io::Error::other)?;
    let mut itself = Itself::default();
    itself[..8].copy_from_slice(&number.to_le_bytes());
    itself[8..].copy_from_slice(&born.as_nanos().to_le_bytes());
    Ok(itself)
}

/// The files of a folder whose names end so, sorted.
pub fn files(folder: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut paths = paths.collect::<Result<Vec<_>>>()?;
    paths.retain(|path| has_end(path, end));
    paths.sort_unstable();
    Ok(paths)
}

fn has_end(path: &Path, end: &str) -> bool {
    path.extension().is_some_and(|extension| extension == end)
}

/// Makes a file, for this user alone; `fill` writes it. When this returns it is whole and on the disk;
/// after an error, or a crash, there is none.
pub fn create(path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let tmp = path.with_extension(TMP);
    let made = write_new(&tmp, fill).and_then(|()| {
        step();
        fs::rename(&tmp, path)?;
        step();
        sync(path)
    });
    if made.is_err() {
        // What matters is the first error.
        let _ = fs::remove_file(&tmp);
        let _ = fs::remove_file(path);
    }
    step();
    made
}

fn write_new(path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    step();
    fill(&mut file)?;
    step();
    file.sync_all()
}

/// Takes a file away: true for one caller alone, of all processes. When this returns, nobody can have
/// it again, not even after a crash; its bytes are overwritten, as far as the file system does so.
pub fn spend(path: &Path) -> Result<bool> {
    let spent = path.with_extension(SPENT);
    match fs::rename(path, &spent) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        renamed => renamed?,
    }
    step();
    sync(path)?;
    step();
    erase(&spent)?;
    step();
    Ok(true)
}

/// Overwrites a file and removes it.
fn erase(path: &Path) -> Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let mut left = file.metadata()?.len();
    while left > 0 {
        let len = left.min(ZEROS.len() as u64);
        file.write_all(&ZEROS[..len as usize])?;
        left -= len;
    }
    file.sync_data()?;
    step();
    fs::remove_file(path)
}

/// Puts what happened to a file's name on the disk.
fn sync(path: &Path) -> Result<()> {
    let named = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = named.unwrap_or(Path::new("."));
    // Only Unix opens folders.
    match cfg!(unix) {
        true => File::open(folder)?.sync_all(),
        false => Ok(()),
    }
}

/// Between two durable steps: a test may end the program here, as a loss of power would.
fn step() {
    #[cfg(feature = "test-seed")]
    {
        use std::sync::atomic::{AtomicU32, Ordering};
        static STEPS: AtomicU32 = AtomicU32::new(0);
        let now = STEPS.fetch_add(1, Ordering::Relaxed);
        let last = std::env::var("STRIA_TEST_CRASH").ok();
        if last.and_then(|last| last.parse().ok()) == Some(now) {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    #[test]
    fn a_file_is_spent_once() {
        let folder = std::env::temp_dir().join(format!("stria-durable-{}", std::process::id()));
        super::folder(&folder).unwrap();
        for round in 0..20 {
            let path = folder.join(format!("{round}.ticket"));
            create(&path, |file| file.write_all(b"secret")).unwrap();
            assert_eq!(files(&folder, "ticket").unwrap().len(), 1);
            let won = AtomicUsize::new(0);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        if spend(&path).unwrap() {
                            won.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(won.into_inner(), 1);
            assert!(!spend(&path).unwrap());
        }
        let error = create(&folder.join("half.ticket"), |file| {
            file.write_all(b"sec")?;
            Err(ErrorKind::StorageFull.into())
        });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::StorageFull);
        fs::write(folder.join("left.tmp"), b"half").unwrap();
        fs::write(folder.join("left.spent"), b"secret").unwrap();
        let alone = lock(&folder, true).unwrap();
        assert!(lock(&folder, false).is_err());
        clean(&folder).unwrap();
        drop(alone);
        let together = [(); 2].map(|()| lock(&folder, false).unwrap());
        assert!(lock(&folder, true).is_err());
        drop(together);
        assert_eq!(files(&folder, "tmp").unwrap().len(), 0);
        assert_eq!(files(&folder, "spent").unwrap().len(), 0);
        fs::remove_dir_all(&folder).unwrap();
    }
}
