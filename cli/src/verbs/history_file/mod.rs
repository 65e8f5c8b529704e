//! The file of an exported history.
//!
//! Each line is a JSON object `{"sha256":"…","entry":…}` with the hash of the bytes of `entry`. So
//! damage is reported with its line, even in a field that no other hash covers, such as a
//! rationale. The first entry is the header. Then follow the commits with the canonical YAML of
//! their contents, and then the moves of channels, each oldest first. The last entry is marked.

mod entry;

use std::io::{self, BufRead};
use std::path::Path;

use proto::v1::ImportBlueprintRequest;
use serde::{Deserialize, Serialize};
use shared::ids::sha256_hex;

pub(super) use self::entry::{Entry, from_entry, to_entry};
use crate::client::CliError;

const FORMAT: &str = "draftsman history";
const FORMAT_VERSION: u32 = 1;
/// Longest valid line: intake accepts no message of this size.
const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// The entry of the first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::verbs) struct Header {
    format: String,
    version: u32,
    /// Id of the Blueprint.
    pub(in crate::verbs) blueprint_id: String,
}

impl Header {
    /// Returns the header of a file of this Blueprint.
    pub(in crate::verbs) fn of(blueprint_id: String) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            blueprint_id,
        }
    }
}

/// A damaged place of a file.
#[derive(Debug, PartialEq)]
pub(in crate::verbs) struct Damage {
    line: usize,
    problem: String,
}

impl Damage {
    /// Returns the error for this file.
    pub(in crate::verbs) fn of(self, path: &Path) -> CliError {
        CliError::DamagedExport {
            path: path.to_owned(),
            line: self.line,
            problem: self.problem,
        }
    }
}

/// The lines of a file, checked one by one.
pub(in crate::verbs) struct Lines<R> {
    file: R,
    line: usize,
    bytes: u64,
    /// A hash over the hashes of all lines so far, in their order.
    chain: String,
    is_over: bool,
}

impl<R: BufRead> Lines<R> {
    pub(in crate::verbs) fn new(file: R) -> Self {
        Self {
            file,
            line: 0,
            bytes: 0,
            chain: String::new(),
            is_over: false,
        }
    }

    /// Returns the number of the last line, and the position after it in bytes.
    pub(in crate::verbs) fn position(&self) -> (usize, u64) {
        (self.line, self.bytes)
    }

    /// Counts lines from another number, for a file that is read from the middle.
    pub(in crate::verbs) fn after_line(self, line: usize) -> Self {
        Self { line, ..self }
    }

    /// Returns the [`next_chain`] over the lines so far.
    pub(in crate::verbs) fn chain(&self) -> &str {
        &self.chain
    }

    /// Reads the header line.
    pub(in crate::verbs) fn header(&mut self) -> Result<Header, Damage> {
        let header: Option<Header> = self.entry()?;
        match header {
            Some(header) if header.format == FORMAT && header.version == FORMAT_VERSION => {
                Ok(header)
            }
            Some(header) => Err(self.damage(format!(
                "is {:?} of version {}, and this program reads {FORMAT:?} of version {FORMAT_VERSION}",
                header.format, header.version
            ))),
            None => Err(self.damage("is missing: the file is empty")),
        }
    }

    /// Reads the next commit or move; `None` after the last one.
    pub(in crate::verbs) fn message(
        &mut self,
        blueprint_id: &str,
    ) -> Result<Option<ImportBlueprintRequest>, Damage> {
        if self.is_over {
            return Ok(None);
        }
        let Some(entry) = self.entry::<Entry>()? else {
            return Err(self.damage("is missing: the file was cut"));
        };
        let message = from_entry(entry).map_err(|problem| self.damage(problem))?;
        let commit = message.commit.iter().map(|commit| &commit.blueprint_id);
        let moved = message.channel_move.iter().map(|moved| &moved.blueprint_id);
        if commit.chain(moved).any(|id| id != blueprint_id) {
            return Err(self.damage("is of another Blueprint than the first line says"));
        }
        if message.last && self.read()?.is_some() {
            return Err(self.damage("comes after the last commit or move"));
        }
        self.is_over = message.last;
        Ok(Some(message))
    }

    /// Reads the entry of the next line; `None` at the end of the file.
    pub(in crate::verbs) fn entry<T: for<'a> Deserialize<'a>>(
        &mut self,
    ) -> Result<Option<T>, Damage> {
        let Some(line) = self.read()? else {
            return Ok(None);
        };
        let entry = entry_of(&line).ok_or_else(|| self.damage("is damaged"))?;
        self.chain = next_chain(&self.chain, &line);
        serde_json::from_str(entry)
            .map(Some)
            .map_err(|error| self.damage(format!("is not what this program writes: {error}")))
    }

    fn read(&mut self) -> Result<Option<String>, Damage> {
        let mut line = String::new();
        self.line += 1;
        let mut limited = io::Read::take(&mut self.file, MAX_LINE_BYTES);
        match limited.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(n) => {
                self.bytes += n as u64;
                Ok(Some(line))
            }
            Err(error) => Err(self.damage(format!("cannot be read: {error}"))),
        }
    }

    pub(in crate::verbs) fn damage(&self, problem: impl Into<String>) -> Damage {
        Damage {
            line: self.line,
            problem: problem.into(),
        }
    }
}

/// Length of a SHA-256 in hexadecimal.
const HASH_CHARACTERS: usize = 64;
const BEFORE_HASH: &str = "{\"sha256\":\"";
const BEFORE_ENTRY: &str = "\",\"entry\":";
const AFTER_ENTRY: &str = "}\n";

/// Returns the line of an entry.
pub(in crate::verbs) fn line_of(entry: &impl Serialize) -> String {
    let entry = serde_json::to_string(entry).expect("these forms have string keys and no floats");
    let hash = sha256_hex(entry.as_bytes());
    format!("{BEFORE_HASH}{hash}{BEFORE_ENTRY}{entry}{AFTER_ENTRY}")
}

/// Returns the hash over the lines so far and one more. A file whose last line has it misses no
/// line, and has no line in another place.
pub(in crate::verbs) fn next_chain(chain: &str, line: &str) -> String {
    let hash = line.get(BEFORE_HASH.len()..BEFORE_HASH.len() + HASH_CHARACTERS);
    sha256_hex(format!("{chain}{}", hash.unwrap_or_default()).as_bytes())
}

/// Returns the entry of a line if the line has exactly the form of [`line_of`].
fn entry_of(line: &str) -> Option<&str> {
    let rest = line.strip_prefix(BEFORE_HASH)?;
    let (hash, rest) = rest.split_once(BEFORE_ENTRY)?;
    let entry = rest.strip_suffix(AFTER_ENTRY)?;
    (sha256_hex(entry.as_bytes()) == hash).then_some(entry)
}

#[cfg(test)]
mod tests {
    use proto::v1::ExportBlueprintResponse;
    use serde_json::json;

    use super::entry::{CommitForm, EpochForm, MoveForm};
    use super::*;

    fn sample(seq: u64, last: bool) -> String {
        let time = "2026-11-23T02:45:44.123Z".to_owned();
        line_of(&Entry {
            commit: Some(CommitForm {
                blueprint_id: "swarm".to_owned(),
                seq,
                version: "v".to_owned(),
                parents: vec!["p".to_owned()],
                version_label: "1.0.0".to_owned(),
                rationale: "größer\n\"☃\"".to_owned(),
                patch_hash: String::new(),
                issue_id: "i".to_owned(),
                epoch: Some(EpochForm {
                    blueprint_id: "swarm".to_owned(),
                    start_version: "p".to_owned(),
                    started_at: time.clone(),
                }),
                author: "größer".to_owned(),
                decided_by: "reviewer".to_owned(),
                comment: "ok".to_owned(),
                committed_at: time,
            }),
            document_yaml: Some("id: swarm\n".to_owned()),
            channel_move: None,
            last,
        })
    }

    fn sample_move() -> String {
        line_of(&Entry {
            commit: None,
            document_yaml: None,
            channel_move: Some(MoveForm {
                blueprint_id: "swarm".to_owned(),
                channel: "production".to_owned(),
                from_version: String::new(),
                to_version: "v".to_owned(),
                seq: 2,
                revision: 1,
                actor: "größer".to_owned(),
                reason: "\"☃\"".to_owned(),
                moved_at: "2026-11-23T02:45:44.123Z".to_owned(),
            }),
            last: true,
        })
    }

    fn file() -> [String; 3] {
        let header = Header {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            blueprint_id: "swarm".to_owned(),
        };
        [line_of(&header), sample(1, false), sample(2, true)]
    }

    fn read(file: &[u8]) -> Result<Vec<ImportBlueprintRequest>, Damage> {
        let mut lines = Lines::new(file);
        let header = lines.header()?;
        let mut messages = Vec::new();
        while let Some(message) = lines.message(&header.blueprint_id)? {
            messages.push(message);
        }
        Ok(messages)
    }

    #[test]
    fn what_was_written_is_read_again() {
        let messages = read(file().concat().as_bytes()).unwrap();
        assert_eq!(messages.len(), 2);
        assert_eq!((messages[0].last, messages[1].last), (false, true));
        let mut again = String::new();
        for message in messages {
            again += &line_of(&to_entry(exported(message)).unwrap());
        }
        assert_eq!(again, file()[1..].concat());
    }

    /// The same message of an export.
    fn exported(message: ImportBlueprintRequest) -> ExportBlueprintResponse {
        ExportBlueprintResponse {
            commit: message.commit,
            document_yaml: message.document_yaml,
            channel_move: message.channel_move,
            last: message.last,
        }
    }

    #[test]
    fn moves_follow_the_commits() {
        let [header, first, _] = file();
        let moved = sample_move();
        let messages = read(format!("{header}{first}{moved}").as_bytes()).unwrap();
        assert_eq!((messages[0].last, messages[1].last), (false, true));
        let again = messages.into_iter().map(exported).map(to_entry);
        let again: String = again.map(|entry| line_of(&entry.unwrap())).collect();
        assert_eq!(again, format!("{first}{moved}"));

        let entry = moved[BEFORE_HASH.len() + 64 + BEFORE_ENTRY.len()..].trim_end_matches("}\n");
        let mut both: serde_json::Value = serde_json::from_str(entry).unwrap();
        both["document_yaml"] = json!("id: swarm\n");
        let damage = read(format!("{header}{}", line_of(&both)).as_bytes()).unwrap_err();
        assert!(damage.problem.contains("nor a move alone"), "{damage:?}");
    }

    #[test]
    fn any_byte_that_changes_is_found_in_its_line() {
        let lines = file();
        let whole = lines.concat().into_bytes();
        let mut line_of_byte = Vec::new();
        for (number, line) in (1..).zip(&lines) {
            line_of_byte.extend(std::iter::repeat_n(number, line.len()));
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            let damage = read(&damaged).expect_err("a byte is another one");
            assert_eq!(damage.line, line_of_byte[at], "byte {at}: {damage:?}");
        }
    }

    #[test]
    fn a_file_that_is_cut_or_put_together_wrongly_is_found() {
        let [header, first, last] = file();
        let other = last.replace("swarm", "other");
        let resummed = line_of(
            &serde_json::from_str::<Entry>(
                &other
                    [BEFORE_HASH.len() + 64 + BEFORE_ENTRY.len()..other.len() - AFTER_ENTRY.len()],
            )
            .unwrap(),
        );
        for (file, line) in [
            (String::new(), 1),
            (first.clone(), 1),
            (header.clone(), 2),
            (format!("{header}{first}"), 3),
            (format!("{header}{first}{}", &last[..last.len() - 1]), 3),
            (format!("{header}{first}{last}{last}"), 4),
            (format!("{header}{first}{last}\n"), 4),
            (format!("{header}{first}{resummed}"), 3),
        ] {
            assert_eq!(read(file.as_bytes()).unwrap_err().line, line, "{file}");
        }
        let newer = header.replace("\"version\":1", "\"version\":2");
        let newer = line_of(
            &serde_json::from_str::<serde_json::Value>(
                &newer
                    [BEFORE_HASH.len() + 64 + BEFORE_ENTRY.len()..newer.len() - AFTER_ENTRY.len()],
            )
            .unwrap(),
        );
        let damage = read(newer.as_bytes()).unwrap_err();
        assert!(damage.problem.contains("of version 2"), "{damage:?}");
    }
}
