//! The file of a backup.
//!
//! Its lines have the form of an exported history, `{"sha256":…,"entry":…}`. The first is the
//! header. Each Blueprint is a line that names it, and then the lines of its history. Then follow
//! the settings, what is paused, and the records: log entries and issues. The last line has the
//! numbers of everything, and a hash over all lines before it.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::verbs::history_file::{Damage, Entry, Lines, line_of, next_chain};

const FORMAT: &str = "draftsman backup";
const FORMAT_VERSION: u32 = 1;

/// The entry of a line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Part {
    /// The first line.
    Header(Header),
    /// A Blueprint. Its history follows.
    Blueprint(BlueprintPart),
    /// A commit or a move of a channel.
    History(Box<Entry>),
    /// A setting, with the fields of `setting get --output json`.
    Setting(Value),
    /// What is paused.
    Paused(Paused),
    /// A record, with the fields of `log ISSUE --output json`.
    LogEntry(Value),
    /// A record, with the fields of `issues ISSUE --output json`.
    Issue(Value),
    /// The last line.
    End(End),
}

/// What a file is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    format: String,
    version: u32,
    /// Version of the program that wrote the file.
    program: String,
    /// When the backup started, by the clock of Redis.
    pub(super) started_at: String,
}

impl Header {
    pub(super) fn new(started_at: String) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            started_at,
        }
    }
}

/// A Blueprint.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlueprintPart {
    pub(super) blueprint_id: String,
    pub(super) archived: bool,
}

/// What is paused.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Paused {
    pub(super) everything: bool,
    pub(super) blueprint_ids: Vec<String>,
}

/// The numbers of everything in a file.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Totals {
    pub(super) blueprints: u64,
    pub(super) commits: u64,
    pub(super) channel_moves: u64,
    pub(super) settings: u64,
    pub(super) log_entries: u64,
    pub(super) issues: u64,
}

impl Totals {
    fn count(&mut self, part: &Part) {
        match part {
            Part::Blueprint(_) => self.blueprints += 1,
            Part::History(entry) if entry.is_commit() => self.commits += 1,
            Part::History(_) => self.channel_moves += 1,
            Part::Setting(_) => self.settings += 1,
            Part::LogEntry(_) => self.log_entries += 1,
            Part::Issue(_) => self.issues += 1,
            Part::Header(_) | Part::Paused(_) | Part::End(_) => {}
        }
    }
}

/// The entry of the last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    totals: Totals,
    chain: String,
}

/// Writes the lines of a file.
pub(super) struct Writer<W> {
    file: W,
    chain: String,
    totals: Totals,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(file: W) -> Self {
        Self {
            file,
            chain: String::new(),
            totals: Totals::default(),
        }
    }

    /// Writes a line.
    pub(super) fn part(&mut self, part: &Part) -> io::Result<()> {
        let line = line_of(part);
        self.totals.count(part);
        self.chain = next_chain(&self.chain, &line);
        self.file.write_all(line.as_bytes())
    }

    /// Writes the last line. Returns the file and the numbers.
    pub(super) fn end(mut self) -> io::Result<(W, Totals)> {
        let end = End {
            totals: self.totals.clone(),
            chain: self.chain.clone(),
        };
        self.part(&Part::End(end))?;
        self.file.flush()?;
        Ok((self.file, self.totals))
    }
}

/// Reads the lines of a file, and checks each.
pub(super) struct Reader<R> {
    pub(super) lines: Lines<R>,
    totals: Totals,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    pub(super) fn open(file: R) -> Result<(Self, Header), Damage> {
        let mut lines = Lines::new(file);
        let header = match lines.entry::<Part>() {
            Ok(Some(Part::Header(header)))
                if header.format == FORMAT && header.version == FORMAT_VERSION =>
            {
                header
            }
            Ok(Some(Part::Header(header))) => {
                return Err(lines.damage(format!(
                    "is {:?} of version {}, and this program reads {FORMAT:?} of version {FORMAT_VERSION}",
                    header.format, header.version
                )));
            }
            Ok(None) => return Err(lines.damage("is missing: the file is empty")),
            _ => return Err(lines.damage("is not the first line of a backup")),
        };
        let totals = Totals::default();
        Ok((Self { lines, totals }, header))
    }

    /// Reads the next line; `None` after the last one, which has been compared with the others.
    pub(super) fn part(&mut self) -> Result<Option<Part>, Damage> {
        let chain = self.lines.chain().to_owned();
        let Some(part) = self.lines.entry::<Part>()? else {
            return Err(self.lines.damage("is missing: the file was cut"));
        };
        let Part::End(end) = part else {
            self.totals.count(&part);
            return Ok(Some(part));
        };
        if end.totals != self.totals || end.chain != chain {
            let problem = "does not fit the lines before it: lines are missing or in another order";
            return Err(self.lines.damage(problem));
        }
        if self
            .lines
            .entry::<Value>()
            .is_ok_and(|after| after.is_none())
        {
            return Ok(None);
        }
        Err(self.lines.damage("comes after the last line of a backup"))
    }

    /// Returns the numbers so far.
    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn file() -> Vec<String> {
        let mut writer = Writer::new(Vec::new());
        let header = Header::new("2026-11-23T02:45:44Z".to_owned());
        writer.part(&Part::Header(header)).unwrap();
        for n in 0..2 {
            writer
                .part(&Part::Issue(json!({ "issue_id": format!("i-{n}") })))
                .unwrap();
        }
        let (bytes, totals) = writer.end().unwrap();
        assert_eq!(totals.issues, 2);
        let text = String::from_utf8(bytes).unwrap();
        text.split_inclusive('\n').map(str::to_owned).collect()
    }

    fn read(lines: &[String]) -> Result<usize, Damage> {
        let text = lines.concat();
        let (mut reader, _) = Reader::open(text.as_bytes())?;
        let mut count = 0;
        while reader.part()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn what_was_written_is_read_and_any_other_file_is_refused() {
        let lines = file();
        assert_eq!(read(&lines).unwrap(), 2);
        let mut swapped = lines.clone();
        swapped.swap(1, 2);
        let mut longer = lines.clone();
        longer.push(lines[1].clone());
        let missing = [&lines[..1], &lines[2..]].concat();
        for (other, problem) in [
            (swapped, "another order"),
            (missing, "lines are missing"),
            (lines[..3].to_vec(), "was cut"),
            (longer, "comes after"),
            (lines[1..].to_vec(), "not the first line"),
            (Vec::new(), "is empty"),
        ] {
            let damage = read(&other).unwrap_err();
            assert!(
                format!("{damage:?}").contains(problem),
                "{problem}: {damage:?}"
            );
        }
    }

    #[test]
    fn any_byte_that_changes_is_found() {
        let whole = file().concat().into_bytes();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            let Ok(text) = String::from_utf8(damaged) else {
                continue;
            };
            let lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
            assert!(read(&lines).is_err(), "byte {at}");
        }
    }
}
