//! The files of `sync`: one for each Blueprint, complete at any time.
//!
//! A file is written under another name in the same folder, flushed, and renamed; then the folder
//! is flushed. So a reader, and a machine that loses power, see either the old or the new file.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use shared::domain::id_pattern::IdPattern;
use shared::ids::{BlueprintId, sha256_hex};

use crate::client::CliError;

/// The end of the name of a file.
const ENDING: &str = ".yaml";
/// The end of the name of an unfinished file. Its name begins with a dot.
const UNFINISHED: &str = ".yaml.unfinished";
/// The end of the name of a removed file for which the command was not run yet. Its name begins
/// with a dot. So the command runs even if this process ends in between.
const REMOVED: &str = ".yaml.removed";

/// A folder of files, locked for this process.
pub(super) struct Folder {
    dir: PathBuf,
    /// The open folder. It holds the lock, and is flushed after a change.
    handle: File,
}

impl Folder {
    /// Opens and locks a folder; creates it if it is missing. Removes unfinished files.
    ///
    /// # Errors
    /// [`CliError::Folder`], or [`CliError::FolderInUse`] if another process has locked it.
    pub(super) fn open(dir: &Path) -> Result<Self, CliError> {
        let failed = |source| CliError::Folder {
            dir: dir.to_owned(),
            source,
        };
        fs::create_dir_all(dir).map_err(failed)?;
        let handle = File::open(dir).map_err(failed)?;
        match flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let dir = dir.to_owned();
                return Err(CliError::FolderInUse { dir });
            }
            Err(error) => return Err(failed(error.into())),
        }
        for name in names(dir).map_err(failed)? {
            if name.starts_with('.') && name.ends_with(UNFINISHED) {
                fs::remove_file(dir.join(name)).map_err(failed)?;
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
            handle,
        })
    }

    /// Returns the version of each file whose Blueprint matches one of the patterns: the SHA-256 of
    /// its bytes. Invalid patterns match nothing.
    ///
    /// # Errors
    /// [`CliError::Folder`] if a file cannot be read.
    pub(super) fn versions(
        &self,
        patterns: &[String],
    ) -> Result<HashMap<String, String>, CliError> {
        let failed = |source| CliError::Folder {
            dir: self.dir.clone(),
            source,
        };
        let patterns = patterns.iter();
        let patterns: Vec<IdPattern> = patterns.filter_map(|p| IdPattern::parse(p).ok()).collect();
        let mut versions = HashMap::new();
        for name in names(&self.dir).map_err(failed)? {
            let Some(id) = name.strip_suffix(ENDING) else {
                continue;
            };
            let Ok(id) = BlueprintId::parse(id) else {
                continue;
            };
            if patterns.iter().any(|pattern| pattern.matches(&id)) {
                let bytes = fs::read(self.dir.join(&name)).map_err(failed)?;
                versions.insert(id.to_string(), sha256_hex(&bytes));
            }
        }
        Ok(versions)
    }

    /// Replaces the file of a Blueprint.
    ///
    /// # Errors
    /// [`CliError::WriteFile`]. The previous file is then unchanged, unless only the flush of the
    /// folder failed.
    pub(super) fn write(&self, id: &BlueprintId, document: &str) -> Result<(), CliError> {
        let path = self.path(id);
        let unfinished = self.dir.join(format!(".{id}{UNFINISHED}"));
        let write = || -> io::Result<()> {
            let mut file = File::create(&unfinished)?;
            file.write_all(document.as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            self.handle.sync_all()
        };
        write().map_err(|source| CliError::WriteFile {
            path: path.clone(),
            source,
        })
    }

    /// Returns the Blueprints whose file was removed by [`Folder::remove`] since the last
    /// [`Folder::forget_removed`], except those with a new file.
    ///
    /// # Errors
    /// [`CliError::Folder`] if the folder cannot be read.
    pub(super) fn removed(&self) -> Result<BTreeSet<String>, CliError> {
        let failed = |source| CliError::Folder {
            dir: self.dir.clone(),
            source,
        };
        let names = names(&self.dir).map_err(failed)?;
        let ids = names
            .iter()
            .filter_map(|name| name.strip_prefix('.')?.strip_suffix(REMOVED))
            .filter_map(|id| BlueprintId::parse(id).ok())
            .filter(|id| !self.path(id).exists());
        Ok(ids.map(|id| id.to_string()).collect())
    }

    /// Forgets which files were removed: the command has run for them.
    ///
    /// # Errors
    /// [`CliError::Folder`] if a file cannot be removed.
    pub(super) fn forget_removed(&self) -> Result<(), CliError> {
        let forget = || -> io::Result<()> {
            for name in names(&self.dir)? {
                if name.starts_with('.') && name.ends_with(REMOVED) {
                    fs::remove_file(self.dir.join(name))?;
                }
            }
            Ok(())
        };
        forget().map_err(|source| CliError::Folder {
            dir: self.dir.clone(),
            source,
        })
    }

    /// Removes the file of a Blueprint. Returns false if it does not exist.
    ///
    /// # Errors
    /// [`CliError::WriteFile`] if it cannot be removed.
    pub(super) fn remove(&self, id: &BlueprintId) -> Result<bool, CliError> {
        let path = self.path(id);
        // One step removes the file and notes that it was removed.
        let removed = self.dir.join(format!(".{id}{REMOVED}"));
        let remove = || match fs::rename(&path, &removed) {
            Ok(()) => self.handle.sync_all().map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
        remove().map_err(|source| CliError::WriteFile {
            path: path.clone(),
            source,
        })
    }

    /// Returns the path of the file of a Blueprint.
    pub(super) fn path(&self, id: &BlueprintId) -> PathBuf {
        self.dir.join(format!("{id}{ENDING}"))
    }
}

/// Returns the names of a folder's files that are text.
fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> BlueprintId {
        BlueprintId::parse(text).unwrap()
    }

    #[test]
    fn files_are_replaced_and_only_matching_ones_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("new");
        let folder = Folder::open(&dir).unwrap();
        folder.write(&id("a"), "first").unwrap();
        folder.write(&id("a"), "second").unwrap();
        folder.write(&id("b"), "other").unwrap();
        fs::write(dir.join("notes.txt"), "mine").unwrap();
        fs::write(dir.join("not an id.yaml"), "mine").unwrap();
        let versions = folder.versions(&["a*".to_owned(), "/".to_owned()]).unwrap();
        let expected = HashMap::from([("a".to_owned(), sha256_hex(b"second"))]);
        assert_eq!(versions, expected);
        assert!(folder.remove(&id("a")).unwrap());
        assert!(!folder.remove(&id("a")).unwrap());
        assert_eq!(folder.removed().unwrap(), BTreeSet::from(["a".to_owned()]));
        folder.write(&id("a"), "third").unwrap();
        assert!(folder.removed().unwrap().is_empty(), "it has a file again");
        assert!(folder.remove(&id("a")).unwrap());
        folder.forget_removed().unwrap();
        assert!(folder.removed().unwrap().is_empty());
        assert!(dir.join("b.yaml").exists() && dir.join("notes.txt").exists());
    }

    #[test]
    fn one_process_uses_a_folder_and_unfinished_files_go() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(format!(".a{UNFINISHED}")), "ha").unwrap();
        let first = Folder::open(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(matches!(
            Folder::open(dir.path()),
            Err(CliError::FolderInUse { .. })
        ));
        drop(first);
        Folder::open(dir.path()).unwrap();
    }
}
