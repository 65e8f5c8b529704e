//! Reads a whole backup and verifies it, before anything is written.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::Path;

use proto::v1::{Commit, EnhanceSetting, ImportBlueprintRequest};
use serde_json::Value;
use shared::blueprint::{Blueprint, Doc};
use shared::ids::Version;

use super::file::{Header, Part, Paused, Reader, Totals};
use crate::client::CliError;
use crate::verbs::history_file::{Damage, Lines, from_entry};
use crate::verbs::setting_file::from_doc;

/// What a backup has.
pub(super) struct Scan {
    pub(super) header: Header,
    pub(super) blueprints: Vec<Stored>,
    pub(super) settings: Vec<(Value, EnhanceSetting)>,
    pub(super) paused: Paused,
    pub(super) totals: Totals,
}

/// A Blueprint in a backup.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) archived: bool,
    pub(super) head: Commit,
    pub(super) n_moves: u64,
    /// The line before its history, and the position after that line.
    after: (usize, u64),
}

impl Stored {
    /// Returns true if the history is the document that a release bundles, and nothing else.
    pub(super) fn is_bundled(&self) -> bool {
        is_bundled(&self.head) && self.n_moves == 0
    }

    /// Returns the messages of the history.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn messages(&self, path: &Path) -> Result<Messages, CliError> {
        let (line, position) = self.after;
        let open = || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(position))?;
            Ok(file)
        };
        let file = open().map_err(|source| CliError::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok(Messages {
            lines: Lines::new(BufReader::new(file)).after_line(line),
            is_over: false,
        })
    }
}

/// Returns true if no caller wrote this commit, and it is the first.
pub(super) fn is_bundled(head: &Commit) -> bool {
    head.seq == 1 && head.author.is_empty() && head.issue_id.is_empty()
}

/// The messages of one history in the file.
pub(super) struct Messages {
    lines: Lines<BufReader<File>>,
    is_over: bool,
}

impl Messages {
    /// Returns the next message; `None` after the last one.
    pub(super) fn next(&mut self) -> Result<Option<ImportBlueprintRequest>, Damage> {
        if self.is_over {
            return Ok(None);
        }
        let message = match self.lines.entry::<Part>()? {
            Some(Part::History(entry)) => from_entry(*entry),
            _ => Err("is not of the history before it".to_owned()),
        };
        let message = message.map_err(|problem| self.lines.damage(problem))?;
        self.is_over = message.last;
        Ok(Some(message))
    }
}

/// Reads and verifies a whole file: each line, each version, each chain of commits.
///
/// # Errors
/// [`CliError::Read`], or [`CliError::DamagedExport`] with the first damaged line.
pub(super) fn scan(path: &Path) -> Result<Scan, CliError> {
    let file = File::open(path).map_err(|source| CliError::Read {
        path: path.to_owned(),
        source,
    })?;
    read(BufReader::new(file)).map_err(|damage| damage.of(path))
}

fn read(file: BufReader<File>) -> Result<Scan, Damage> {
    let (mut reader, header) = Reader::open(file)?;
    let (mut blueprints, mut settings, mut paused) = (Vec::new(), Vec::new(), Paused::default());
    let mut history: Option<History> = None;
    while let Some(part) = reader.part()? {
        let problem = match (part, &mut history) {
            (Part::History(entry), Some(open)) => {
                let taken = from_entry(*entry).and_then(|message| open.take(message));
                match taken {
                    Ok(None) => continue,
                    Ok(Some(stored)) => {
                        blueprints.push(stored);
                        history = None;
                        continue;
                    }
                    Err(problem) => problem,
                }
            }
            (_, Some(open)) => format!("is not of the history of {}", open.id),
            (Part::Blueprint(part), None) => {
                history = Some(History::new(
                    part.blueprint_id,
                    part.archived,
                    reader.lines.position(),
                ));
                continue;
            }
            (Part::Setting(value), None) => {
                let doc = Doc::try_from(&value).map_err(|error| error.to_string());
                match doc.and_then(|doc| from_doc(&doc, false)) {
                    Ok(setting) => {
                        settings.push((value, setting));
                        continue;
                    }
                    Err(problem) => format!("is not a setting: {problem}"),
                }
            }
            (Part::Paused(found), None) => {
                paused = found;
                continue;
            }
            (Part::LogEntry(_) | Part::Issue(_), None) => continue,
            (Part::History(_) | Part::Header(_) | Part::End(_), None) => {
                "is in a place where it cannot be".to_owned()
            }
        };
        return Err(reader.lines.damage(problem));
    }
    if let Some(open) = history {
        return Err(reader
            .lines
            .damage(format!("ends the history of {} too early", open.id)));
    }
    let totals = reader.totals().clone();
    Ok(Scan {
        header,
        blueprints,
        settings,
        paused,
        totals,
    })
}

/// The history that is being read.
struct History {
    id: String,
    archived: bool,
    after: (usize, u64),
    head: Option<Commit>,
    n_moves: u64,
}

impl History {
    fn new(id: String, archived: bool, after: (usize, u64)) -> Self {
        Self {
            id,
            archived,
            after,
            head: None,
            n_moves: 0,
        }
    }

    /// Takes a message. Returns the Blueprint after the last one.
    fn take(&mut self, message: ImportBlueprintRequest) -> Result<Option<Stored>, String> {
        if let Some(commit) = message.commit {
            let (seq, parents) = match &self.head {
                Some(head) => (head.seq + 1, vec![head.version.clone()]),
                None => (1, Vec::new()),
            };
            if commit.blueprint_id != self.id || commit.seq != seq || commit.parents != parents {
                return Err("does not follow from the previous commit".to_owned());
            }
            let version = Version::parse(&commit.version).map_err(|error| error.to_string())?;
            let blueprint = Blueprint::from_canonical(&version, &message.document_yaml)
                .map_err(|error| format!("has a document that is not its version: {error}"))?;
            if blueprint.id().as_str() != self.id {
                return Err("has the document of another Blueprint".to_owned());
            }
            self.head = Some(commit);
        }
        if let Some(moved) = message.channel_move {
            if moved.blueprint_id != self.id {
                return Err("is a move of another Blueprint".to_owned());
            }
            self.n_moves += 1;
        }
        if !message.last {
            return Ok(None);
        }
        let head = self.head.take().ok_or("has no commit")?;
        Ok(Some(Stored {
            id: std::mem::take(&mut self.id),
            archived: self.archived,
            head,
            n_moves: self.n_moves,
            after: self.after,
        }))
    }
}
