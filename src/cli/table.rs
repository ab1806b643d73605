//! Prints columns and rows as an aligned table, as JSON or as CSV. What is in them is the commands' affair.

mod fit;
mod sections;

use std::io::{self, Write};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::csv::cell;

/// How a listing is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns, for people
    #[default]
    Table,
    /// Objects with the columns as keys
    Json,
    /// Comma-separated values with a line of headers (RFC 4180)
    Csv,
}

/// Columns and rows; every row has a value a column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|&column| column.to_owned()).collect(), rows: vec![] }
    }

    /// With one row more; its values stand in the order of the columns.
    pub fn push<const N: usize>(&mut self, row: [Value; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.rows.push(row.into());
    }

    /// Writes all rows, whole.
    ///
    /// # Errors
    /// Whatever `out` says.
    pub fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        self.write_within(format, None, out)
    }

    /// Writes all rows; as a table within so many characters a line, as far as shortened texts make that possible.
    ///
    /// # Errors
    /// Whatever `out` says.
    pub fn write_within(&self, format: Format, width: Option<usize>, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Table => self.write_aligned(width, out),
            Format::Json => {
                let rows: Vec<_> = self.rows.iter().map(|row| Row { columns: &self.columns, values: row }).collect();
                write_json(&rows, out)
            }
            Format::Csv => self.write_csv(out),
        }
    }

    /// Writes its one row as a thing of its own: a line a column and then its lists of objects, or one JSON object; as
    /// CSV like any table.
    ///
    /// # Errors
    /// Whatever `out` says.
    pub fn write_record(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        let Some(row) = self.rows.first() else { return Ok(()) };
        match format {
            Format::Table => {
                // For people, what is not there needs no line; null is for programs.
                let shown = self.columns.iter().zip(row).filter(|(_, value)| !value.is_null());
                let (lists, fields): (Vec<_>, Vec<_>) = shown.partition(|(_, value)| sections::is_list(value));
                let width = fields.iter().map(|(column, _)| column.chars().count()).max().unwrap_or_default();
                for (column, value) in fields {
                    writeln!(out, "{}", format!("{column:width$}  {}", visible(&text(value))).trim_end())?;
                }
                lists.into_iter().try_for_each(|(column, value)| sections::write(column, value, out))
            }
            Format::Json => write_json(&Row { columns: &self.columns, values: row }, out),
            Format::Csv => self.write_csv(out),
        }
    }

    fn write_aligned(&self, within: Option<usize>, out: &mut dyn Write) -> io::Result<()> {
        let mut lines: Vec<Vec<String>> = vec![self.columns.iter().map(|column| column.to_uppercase()).collect()];
        lines.extend(self.rows.iter().map(|row| row.iter().map(|value| visible(&text(value))).collect()));
        let mut widths = vec![0; self.columns.len()];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        if let Some(within) = within {
            let least = |(index, column): (usize, &String)| fit::least(column, self.rows.iter().map(|row| &row[index]));
            let least: Vec<_> = self.columns.iter().enumerate().map(least).collect();
            widths = fit::fitted(&widths, &least, within);
        }
        for line in &lines {
            let cell = |(cell, &width): (&String, &usize)| format!("{:width$}", fit::shortened(cell, width));
            let cells: Vec<_> = line.iter().zip(&widths).map(cell).collect();
            writeln!(out, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }

    fn write_csv(&self, out: &mut dyn Write) -> io::Result<()> {
        let headers: Vec<_> = self.columns.iter().map(|column| cell(column)).collect();
        writeln!(out, "{}", headers.join(","))?;
        for row in &self.rows {
            let written = |value: &Value| if value.is_number() { value.to_string() } else { cell(&text(value)) };
            let cells: Vec<_> = row.iter().map(written).collect();
            writeln!(out, "{}", cells.join(","))?;
        }
        Ok(())
    }
}

/// A row as a JSON object, its keys in the order of the columns.
struct Row<'a> {
    columns: &'a [String],
    values: &'a [Value],
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.columns.iter().zip(self.values))
    }
}

fn write_json(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// A value as one cell: nothing for null, words with spaces between for a list of words.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().map(text).collect::<Vec<_>>().join(" ")
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// A text for a terminal: what would move the cursor, change colours or turn the direction of writing is spelled out.
#[must_use]
pub fn visible(text: &str) -> String {
    let acts = |c: char| {
        c.is_control()
            || matches!(c, '\u{AD}' | '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{E0000}'..='\u{E0FFF}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => shown.extend(c.escape_default()),
            c if acts(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn example() -> Table {
        let mut table = Table::new(&["name", "count", "words"]);
        table.push([json!("ada"), json!(7), json!(["read", "vote"])]);
        table.push([json!("b,\"c\"\n\u{1b}[31m"), Value::Null, json!([])]);
        table
    }

    fn written(write: impl Fn(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = vec![];
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_is_aligned_and_shows_control_characters() {
        let lines =
            ["NAME               COUNT  WORDS", "ada                7      read vote", "b,\"c\"\\n\\u{1b}[31m", ""];
        assert_eq!(written(|out| example().write(Format::Table, out)), lines.join("\n"));
    }

    #[test]
    fn a_table_fits_a_terminal_and_only_its_longest_text_is_shortened() {
        let mut table = Table::new(&["position", "token_id", "who", "sentence"]);
        let id = json!("01926f3e-8a00-7000-8000-000000000001");
        table.push([json!(7), id.clone(), json!("ada"), json!("ada gave bo the role reviewer, and told nobody.")]);
        table.push([json!(8), id, json!("cleo"), Value::Null]);
        let within = |width| written(|out| table.write_within(Format::Table, width, out));
        let longest = |text: &str| text.lines().map(|line| line.chars().count()).max();
        assert_eq!(within(None), written(|out| table.write(Format::Table, out)));
        assert_eq!(within(Some(200)), within(None));
        assert!(longest(&within(None)) > Some(80));
        assert_eq!(longest(&within(Some(80))), Some(80), "{}", within(Some(80)));
        assert!(within(Some(80)).contains("-000000000001  ada   ada gave bo the role revi…\n"), "{}", within(Some(80)));
        // An id is of no use in part; where lines are broken anyhow, texts stay whole.
        assert_eq!(within(Some(60)), within(None));
        for format in [Format::Json, Format::Csv] {
            assert_eq!(
                written(|out| table.write_within(format, Some(20), out)),
                written(|out| table.write(format, out))
            );
        }
    }

    #[test]
    fn csv_quotes_commas_quotes_and_line_breaks() {
        let lines = ["name,count,words", "ada,7,read vote", "\"b,\"\"c\"\"\n\u{1b}[31m\",,", ""];
        assert_eq!(written(|out| example().write(Format::Csv, out)), lines.join("\n"));
    }

    #[test]
    fn csv_has_no_formulas_and_numbers_stay_numbers() {
        let mut table = Table::new(&["name", "count", "words"]);
        table.push([json!("={{7*7}}"), json!(-7), json!(["=1", "+1"])]);
        table.push([json!("-7"), json!(1.5), Value::Null]);
        let lines = ["name,count,words", "'={{7*7}},-7,'=1 +1", "'-7,1.5,", ""];
        assert_eq!(written(|out| table.write(Format::Csv, out)), lines.join("\n"));
        assert_eq!(written(|out| table.write_record(Format::Csv, out)), lines.join("\n"));
    }

    #[test]
    fn json_keeps_types_and_the_order_of_columns() {
        let json = written(|out| example().write(Format::Json, out));
        let back: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(back[0], json!({"name": "ada", "count": 7, "words": ["read", "vote"]}));
        assert_eq!(back[1]["count"], Value::Null);
        assert!(json.find("name") < json.find("count") && json.find("count") < json.find("words"));
    }

    #[test]
    fn a_record_shows_people_no_column_without_a_value() {
        let mut table = Table::new(&["name", "ended_at"]);
        table.push([json!("ada"), Value::Null]);
        assert_eq!(written(|out| table.write_record(Format::Table, out)), "name  ada\n");
        assert!(written(|out| table.write_record(Format::Json, out)).contains("\"ended_at\": null"));
    }

    #[test]
    fn a_record_is_a_line_a_column_or_one_object() {
        let lines = ["name   ada", "count  7", "words  read vote", ""];
        assert_eq!(written(|out| example().write_record(Format::Table, out)), lines.join("\n"));
        let json: Value = serde_json::from_str(&written(|out| example().write_record(Format::Json, out))).unwrap();
        assert_eq!(json["count"], 7);
    }

    #[test]
    fn an_empty_listing_has_headers_in_tables_and_is_an_empty_list_in_json() {
        let empty = Table::new(&["a", "b"]);
        assert_eq!(written(|out| empty.write(Format::Table, out)), "A  B\n");
        assert_eq!(written(|out| empty.write(Format::Json, out)), "[]\n");
        assert_eq!(written(|out| empty.write(Format::Csv, out)), "a,b\n");
    }

    #[test]
    fn what_turns_the_direction_of_writing_is_spelled_out() {
        assert_eq!(visible("a\u{202e}b\tc\u{9b}é"), "a\\u{202e}b\\tc\\u{9b}é");
    }
}
