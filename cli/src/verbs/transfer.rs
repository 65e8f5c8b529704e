//! `export` and `import`: a whole history as one file.
//!
//! Each line is a JSON object `{"sha256":"…","entry":…}` with the hash of the bytes of `entry`. So
//! damage is reported with its line, even in a field that no other hash covers, such as a
//! rationale. The first entry is the header. Each further entry is a commit with the canonical YAML
//! of its content, oldest first; the last one is marked. Both verbs process one line at a time, so
//! memory use does not depend on the length of the history.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use futures::stream;
use proto::v1::{Commit, Epoch, ExportBlueprintRequest, ImportBlueprintRequest};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::ids::sha256_hex;
use tonic::Code;

use crate::args::{ExportArgs, ImportArgs, Output};
use crate::client::{CliError, Client};
use crate::output;

const FORMAT: &str = "draftsman history";
const FORMAT_VERSION: u32 = 1;
/// Longest valid line: intake accepts no message of this size.
const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// The entry of the first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u32,
    blueprint_id: String,
}

/// The entry of every other line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    commit: CommitForm,
    document_yaml: String,
    last: bool,
}

/// A commit as in `history --output json`; times are RFC 3339.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitForm {
    blueprint_id: String,
    seq: u64,
    version: String,
    parents: Vec<String>,
    version_label: String,
    rationale: String,
    patch_hash: String,
    issue_id: String,
    epoch: Option<EpochForm>,
    /// Absent in files of releases without actors.
    #[serde(default)]
    author: String,
    committed_at: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EpochForm {
    blueprint_id: String,
    start_version: String,
    started_at: String,
}

/// Exports a history to a file, or to standard output.
///
/// # Errors
/// Errors of intake or the file. An incomplete file is removed.
pub(crate) async fn export(mut client: Client, args: ExportArgs) -> Result<(), CliError> {
    let Some(path) = args.file else {
        let stdout = BufWriter::new(io::stdout());
        write(&mut client, args.blueprint_id, stdout, CliError::Write).await?;
        return Ok(());
    };
    let failed = |source| CliError::WriteFile {
        path: path.clone(),
        source,
    };
    let file = BufWriter::new(File::create_new(&path).map_err(failed)?);
    match write(&mut client, args.blueprint_id, file, failed).await {
        Ok(count) => Ok(output::line(format_args!(
            "{}: {} written",
            path.display(),
            output::count(count, "commit")
        ))?),
        Err(error) => {
            // A partial history is useless. If the file cannot be removed, `import` refuses it.
            let _ = std::fs::remove_file(&path);
            Err(error)
        }
    }
}

/// Writes header and commits, and returns the number of commits.
async fn write(
    client: &mut Client,
    blueprint_id: String,
    mut file: impl Write,
    failed: impl Fn(io::Error) -> CliError,
) -> Result<u64, CliError> {
    let request = ExportBlueprintRequest {
        blueprint_id: blueprint_id.clone(),
    };
    let answer = client.blueprints.export_blueprint(request).await?;
    let mut messages = answer.into_inner();
    let header = Header {
        format: FORMAT.to_owned(),
        version: FORMAT_VERSION,
        blueprint_id,
    };
    file.write_all(line_of(&header).as_bytes())
        .map_err(&failed)?;
    let mut count = 0;
    while let Some(message) = messages.message().await? {
        let commit = message.commit.ok_or(CliError::Answer { field: "commit" })?;
        let entry = Entry {
            commit: to_form(commit)?,
            document_yaml: message.document_yaml,
            last: message.last,
        };
        file.write_all(line_of(&entry).as_bytes())
            .map_err(&failed)?;
        count += 1;
    }
    file.flush().map_err(&failed)?;
    Ok(count)
}

/// Recreates a Blueprint from a file of [`export`].
///
/// # Errors
/// Errors of intake or the file; nothing is imported then.
pub(crate) async fn import(
    mut client: Client,
    args: ImportArgs,
    format: Output,
) -> Result<(), CliError> {
    let path = args.file;
    let file = File::open(&path).map_err(|source| CliError::Read {
        path: path.clone(),
        source,
    })?;
    let mut lines = Lines::new(BufReader::new(file));
    let header = lines.header().map_err(|problem| problem.of(&path))?;
    let damage = Arc::new(Mutex::new(None));
    let found = damage.clone();
    // At a damaged line the stream ends without its last message, so intake rejects it as
    // incomplete.
    let messages = std::iter::from_fn(move || match lines.message(&header.blueprint_id) {
        Ok(message) => message,
        Err(damage) => {
            *found.lock().expect("no holder of this lock panics") = Some(damage);
            None
        }
    });
    let answer = client.blueprints.import_blueprint(stream::iter(messages));
    let answer = answer.await;
    if let Some(damage) = damage.lock().expect("no holder of this lock panics").take() {
        return Err(damage.of(&path));
    }
    let answer = answer.map_err(|status| match status.code() {
        Code::InvalidArgument => CliError::ImportRefused {
            path,
            source: Box::new(status.into()),
        },
        _ => status.into(),
    })?;
    let commit = answer.into_inner().commit;
    let commit = commit.ok_or(CliError::Answer { field: "commit" })?;
    if format == Output::Json {
        let value = json!({ "commit": output::commit_json(&commit) });
        return Ok(output::json_document(&value)?);
    }
    Ok(output::line(format_args!(
        "{}: {} commits imported, the head is version {}",
        commit.blueprint_id, commit.seq, commit.version
    ))?)
}

/// A damaged place of a file.
#[derive(Debug, PartialEq)]
struct Damage {
    line: usize,
    problem: String,
}

impl Damage {
    fn of(self, path: &Path) -> CliError {
        CliError::DamagedExport {
            path: path.to_owned(),
            line: self.line,
            problem: self.problem,
        }
    }
}

/// The lines of a file, checked one by one.
struct Lines<R> {
    file: R,
    line: usize,
    is_over: bool,
}

impl<R: BufRead> Lines<R> {
    fn new(file: R) -> Self {
        Self {
            file,
            line: 0,
            is_over: false,
        }
    }

    /// Reads the header line.
    fn header(&mut self) -> Result<Header, Damage> {
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

    /// Reads the next commit; `None` after the last one.
    fn message(&mut self, blueprint_id: &str) -> Result<Option<ImportBlueprintRequest>, Damage> {
        if self.is_over {
            return Ok(None);
        }
        let Some(entry) = self.entry::<Entry>()? else {
            return Err(self.damage("is missing: the file was cut"));
        };
        if entry.commit.blueprint_id != blueprint_id {
            return Err(self.damage("is of another Blueprint than the first line says"));
        }
        let message = ImportBlueprintRequest {
            commit: Some(from_form(entry.commit).map_err(|problem| self.damage(problem))?),
            document_yaml: entry.document_yaml,
            last: entry.last,
        };
        if entry.last && self.read()?.is_some() {
            return Err(self.damage("comes after the last commit"));
        }
        self.is_over = entry.last;
        Ok(Some(message))
    }

    fn entry<T: for<'a> Deserialize<'a>>(&mut self) -> Result<Option<T>, Damage> {
        let Some(line) = self.read()? else {
            return Ok(None);
        };
        let entry = entry_of(&line).ok_or_else(|| self.damage("is damaged"))?;
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
            Ok(_) => Ok(Some(line)),
            Err(error) => Err(self.damage(format!("cannot be read: {error}"))),
        }
    }

    fn damage(&self, problem: impl Into<String>) -> Damage {
        Damage {
            line: self.line,
            problem: problem.into(),
        }
    }
}

const BEFORE_HASH: &str = "{\"sha256\":\"";
const BEFORE_ENTRY: &str = "\",\"entry\":";
const AFTER_ENTRY: &str = "}\n";

fn line_of(entry: &impl Serialize) -> String {
    let entry = serde_json::to_string(entry).expect("these forms have string keys and no floats");
    let hash = sha256_hex(entry.as_bytes());
    format!("{BEFORE_HASH}{hash}{BEFORE_ENTRY}{entry}{AFTER_ENTRY}")
}

/// Returns the entry of a line if the line has exactly the form of [`line_of`].
fn entry_of(line: &str) -> Option<&str> {
    let rest = line.strip_prefix(BEFORE_HASH)?;
    let (hash, rest) = rest.split_once(BEFORE_ENTRY)?;
    let entry = rest.strip_suffix(AFTER_ENTRY)?;
    (sha256_hex(entry.as_bytes()) == hash).then_some(entry)
}

fn to_form(commit: Commit) -> Result<CommitForm, CliError> {
    let time = |time: Option<_>, field| {
        time.map(|time: prost_types::Timestamp| time.to_string())
            .ok_or(CliError::Answer { field })
    };
    let epoch = match commit.epoch {
        None => None,
        Some(epoch) => Some(EpochForm {
            blueprint_id: epoch.blueprint_id,
            start_version: epoch.start_version,
            started_at: time(epoch.started_at, "started_at")?,
        }),
    };
    Ok(CommitForm {
        blueprint_id: commit.blueprint_id,
        seq: commit.seq,
        version: commit.version,
        parents: commit.parents,
        version_label: commit.version_label,
        rationale: commit.rationale,
        patch_hash: commit.patch_hash,
        issue_id: commit.issue_id,
        epoch,
        author: commit.author,
        committed_at: time(commit.committed_at, "committed_at")?,
    })
}

fn from_form(form: CommitForm) -> Result<Commit, String> {
    let time = |text: &str| {
        let time = text.parse::<prost_types::Timestamp>();
        time.map_err(|error| format!("has the time {text:?}: {error}"))
    };
    let epoch = match form.epoch {
        None => None,
        Some(epoch) => Some(Epoch {
            started_at: Some(time(&epoch.started_at)?),
            blueprint_id: epoch.blueprint_id,
            start_version: epoch.start_version,
        }),
    };
    Ok(Commit {
        blueprint_id: form.blueprint_id,
        seq: form.seq,
        version: form.version,
        parents: form.parents,
        version_label: form.version_label,
        rationale: form.rationale,
        patch_hash: form.patch_hash,
        issue_id: form.issue_id,
        epoch,
        author: form.author,
        committed_at: Some(time(&form.committed_at)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seq: u64, last: bool) -> String {
        let time = "2026-11-23T02:45:44.123Z".to_owned();
        line_of(&Entry {
            commit: CommitForm {
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
                committed_at: time,
            },
            document_yaml: "id: swarm\n".to_owned(),
            last,
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
            again += &line_of(&Entry {
                commit: to_form(message.commit.unwrap()).unwrap(),
                document_yaml: message.document_yaml,
                last: message.last,
            });
        }
        assert_eq!(again, file()[1..].concat());
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
