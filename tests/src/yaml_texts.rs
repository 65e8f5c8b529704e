//! Documents that are hard to write as YAML, and YAML that is hard to read.

use fastrand::Rng;
use shared::blueprint::{Doc, Num};

/// Texts that some reader takes for another type, or that writers and readers handle badly.
const TEXTS: &[&str] = &[
    "",
    " ",
    "null",
    "Null",
    "~",
    "true",
    "False",
    "yes",
    "No",
    "ON",
    "off",
    "y",
    "N",
    "nan",
    "Infinity",
    "1",
    "-1",
    "+1",
    "012",
    "0o17",
    "0x1F",
    "0b101",
    "1_000",
    "190:20:30",
    "12:30:45",
    "1e3",
    "1.0e+3",
    "1e400",
    ".5",
    "5.",
    ".inf",
    "-.INF",
    ".NaN",
    "1.2.3",
    "2026-01-01",
    "2026-01-01T10:00:00Z",
    "=",
    "<<",
    "-",
    "--- ",
    "---",
    "...",
    "? a",
    "?",
    ": a",
    ":",
    "a: b",
    "a:",
    "a:b",
    "#x",
    "a #x",
    "a#x",
    "!tag",
    "!!str x",
    "&a",
    "*a",
    "%YAML 1.2",
    "@x",
    "`x`",
    "'",
    "\"",
    "''",
    "\\",
    "\\n",
    "[",
    "]",
    "{a: b}",
    "[]",
    ",",
    "|",
    ">",
    "|-",
    "x, y",
    "word",
    "two words",
    "word ",
    " word",
    "it's",
    "say \"no\"",
    "$.input",
    "/agents/0",
    "https://example.com/x",
    "größer ☃ 😀",
    "日本",
    "\u{3000}x",
    "a\u{a0}b",
    "\u{200b}",
    "\u{feff}",
    "\u{85}",
    "\u{2028}x",
    "x\u{2029}",
    "\u{7f}",
    "\u{1b}[0m",
    "\u{0}",
    "\u{fffe}",
    "\u{10ffff}",
    "a\tb",
    "\ta",
    "a\t",
    "a\rb",
    "a\r\nb\r\n",
    "\n",
    "\n\n",
    "a\n",
    "a\nb",
    "a\nb\n",
    "a\n\nb\n\n\n",
    "\na",
    "\n\n  a\nb",
    " a\nb\n",
    "\ta\nb\n",
    "a\n b\n\tc\n",
    "a\n \nb\n",
    "a\n  ",
    "a  \nb\n",
    "# Title\n\n- item: x\n",
    "```json\n{\"a\": 1}\n```\n",
    "---\na\n...\n",
];

fn text(rng: &mut Rng) -> String {
    match rng.u8(0..10) {
        0..5 => TEXTS[rng.usize(0..TEXTS.len())].to_owned(),
        5..8 => (0..rng.usize(2..5))
            .map(|_| TEXTS[rng.usize(0..TEXTS.len())])
            .collect(),
        8 => (0..rng.usize(0..8)).map(|_| rng.char(..)).collect(),
        _ => "long ".repeat(rng.usize(1..300)),
    }
}

fn number(rng: &mut Rng) -> Num {
    const FLOATS: [f64; 9] = [0.0, -0.0, 1.0, 0.1, 1e16, 1e21, 1e-7, 5e-324, f64::MAX];
    match rng.u8(0..4) {
        0 => Num::Int(rng.i64(..)),
        1 => Num::Int(rng.i64(-9..10)),
        2 => Num::Float(FLOATS[rng.usize(0..FLOATS.len())]),
        _ => {
            let float = f64::from_bits(rng.u64(..));
            Num::Float(if float.is_finite() { float } else { 0.5 })
        }
    }
}

fn document(rng: &mut Rng, levels: u8) -> Doc {
    match rng.u8(0..if levels == 0 { 6 } else { 12 }) {
        0 => Doc::Null,
        1 => Doc::Bool(rng.bool()),
        2 => Doc::Num(number(rng)),
        3..6 => Doc::from(text(rng)),
        6..8 => Doc::array(
            (0..rng.u8(0..4))
                .map(|_| document(rng, levels - 1))
                .collect(),
        ),
        _ => {
            let n = rng.u8(0..5);
            Doc::object(
                (0..n)
                    .map(|_| (text(rng), document(rng, levels - 1)))
                    .collect::<Vec<_>>(),
            )
        }
    }
}

/// Each of [`TEXTS`] in each position, and many random documents.
pub fn documents(rng: &mut Rng) -> Vec<Doc> {
    let mut all: Vec<Doc> = Vec::new();
    for text in TEXTS.iter().copied() {
        let inner = Doc::object([(text, Doc::from(text))]);
        let list = Doc::array(vec![Doc::from(text), inner.clone(), Doc::from(1)]);
        all.push(Doc::from(text));
        all.push(Doc::object([
            ("k", inner),
            ("l", list.clone()),
            ("m", Doc::array(vec![list])),
        ]));
    }
    all.extend((0..300).map(|_| document(rng, 5)));
    all
}

/// A YAML text in a form that people write. It has any indentation, flow style over several lines,
/// closing brackets at any column, tabs, comments, quotes of every kind, and blocks.
pub fn written_by_hand(rng: &mut Rng) -> String {
    Author::write(rng)
}

/// A text under construction.
struct Author<'r> {
    rng: &'r mut Rng,
    out: String,
}

impl Author<'_> {
    fn any<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.rng.usize(0..choices.len())]
    }

    fn write(rng: &mut Rng) -> String {
        let out = String::new();
        let mut author = Author { rng, out };
        let start = author.any(&[
            "",
            "",
            "",
            "---\n",
            "# first\n",
            "\n",
            "%YAML 1.2\n---\n",
            "--- # x\n",
        ]);
        author.out.push_str(start);
        author.block(0, 4);
        let end = author.any(&["", "", "\n", "\n...\n", "\n# last\n", "  \n"]);
        author.out.push_str(end);
        author.out
    }

    fn newline(&mut self, column: usize) {
        let line_end = self.any(&[
            "\n",
            "\n",
            "\n",
            "\n",
            " \n",
            "\n\n",
            " # note\n",
            "\n# note\n",
            "\t\n",
            "\r\n",
        ]);
        self.out.push_str(line_end);
        self.out.push_str(&" ".repeat(column));
    }

    /// Writes a block collection at `column` whose first line has begun.
    fn block(&mut self, column: usize, levels: usize) {
        let is_mapping = self.rng.bool();
        for n in 0..self.rng.usize(1..4) {
            if n > 0 {
                self.newline(column);
            }
            if is_mapping {
                let key = ["a", "b", "'c'", "\"d\""][n % 4];
                let form = self.any(&["{}:", "{}:", "{}:", "{} :", "? {}\n@:"]);
                let form = form.replace("{}", key).replace('@', &" ".repeat(column));
                self.out.push_str(&form);
            } else {
                self.out.push('-');
            }
            self.value(column, levels, is_mapping);
        }
    }

    fn value(&mut self, column: usize, levels: usize, in_mapping: bool) {
        match self.rng.u8(0..10) {
            0..3 if levels > 0 => {
                let deeper = column + self.rng.usize(if in_mapping { 0 } else { 1 }..4);
                self.newline(deeper);
                self.block(deeper, levels - 1);
            }
            3 if levels > 0 && !in_mapping => {
                let space = self.any(&[" ", "  ", "   "]);
                self.out.push_str(space);
                self.block(column + 1 + space.len(), levels - 1);
            }
            4..6 => {
                let space = self.any(&[" ", " ", "\t", " \t", "\n  ", " &x "]);
                self.out.push_str(space);
                self.flow(column, 3);
            }
            6 => {
                let header = self.any(&[
                    " |", " >", " |-", " |+", " >-", " >+", "\t|", " |2", " | # x",
                ]);
                self.out.push_str(header);
                let deeper = column + 2;
                for _ in 0..self.rng.usize(1..4) {
                    self.out.push('\n');
                    let line = self.any(&[
                        "text",
                        "  more",
                        "",
                        "# no comment",
                        "a: b",
                        "- a",
                        "text  ",
                        "\ttab",
                    ]);
                    if !line.is_empty() {
                        self.out.push_str(&" ".repeat(deeper));
                        self.out.push_str(line);
                    }
                }
            }
            _ => {
                let space = self.any(&[" ", " ", "  ", "\t", " \t ", "\n   "]);
                self.out.push_str(space);
                let scalar = self.any(&[
                    "word",
                    "two words",
                    "'quoted'",
                    "\"quoted \\u00e9\"",
                    "1",
                    "-7",
                    "true",
                    "null",
                    "1.5",
                    "",
                    "a,b",
                    "two\n     lines",
                    "'two\n     lines'",
                    "\"two\n     lines\"",
                    "x#y",
                    "a:b",
                    "[]",
                    "{}",
                    "\"a\\\n     b\"",
                ]);
                self.out.push_str(scalar);
            }
        }
    }

    /// Writes a flow collection or scalar, over one line or several.
    fn flow(&mut self, column: usize, levels: usize) {
        let n = self.rng.usize(0..4);
        let is_sequence = self.rng.bool();
        if levels == 0 {
            let scalar = self.any(&["w", "'q'", "\"q\"", "1", "two words", "null"]);
            return self.out.push_str(scalar);
        }
        self.out.push(if is_sequence { '[' } else { '{' });
        for n_item in 0..n {
            self.gap(column);
            if !is_sequence {
                let key = ["a", "b", "'c'", "\"d\""][n_item];
                self.out.push_str(key);
                let colon = self.any(&[": ", ": ", " : ", ":\t", ":\n      "]);
                self.out.push_str(colon);
            }
            self.flow(column, levels - 1);
            self.gap(column);
            if n_item + 1 < n || self.rng.u8(0..4) == 0 {
                self.out.push(',');
            }
        }
        self.gap(column);
        self.out.push(if is_sequence { ']' } else { '}' });
    }

    fn gap(&mut self, column: usize) {
        let gap = self.any(&[
            "",
            "",
            " ",
            " ",
            "\n",
            "\n",
            "\n  ",
            "\n# note\n",
            " # note\n",
            "\t",
        ]);
        self.out.push_str(gap);
        if gap.ends_with('\n') {
            let more = self.rng.usize(0..3);
            self.out.push_str(&" ".repeat(column + more));
        }
    }
}
