//! The lists of objects that a record holds, such as its history: each is a section under the record, for people.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::{text, visible};

/// What somebody wrote stands under its row: it can be long, and have lines of its own.
const WRITTEN: &str = "text";

/// Whether a value is shown as a section; without rows it is not shown at all.
pub(super) fn is_list(value: &Value) -> bool {
    matches!(value, Value::Array(items) if items.first().is_none_or(Value::is_object))
}

/// Writes a list of objects under its name: aligned, with a line of headers where there are more than two columns.
pub(super) fn write(name: &str, list: &Value, out: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<&Map<String, Value>> = list.as_array().into_iter().flatten().filter_map(Value::as_object).collect();
    let columns: Vec<&String> =
        rows.first().into_iter().flat_map(|row| row.keys()).filter(|column| *column != WRITTEN).collect();
    // What has a line for each of its parts is one cell all the same.
    let cell = |row: &Map<String, Value>, column: &String| {
        row.get(column).map(|value| text(value).replace('\n', ", ")).unwrap_or_default()
    };
    let mut lines: Vec<(Vec<String>, Option<&str>)> = vec![];
    if columns.len() > 2 {
        lines.push((columns.iter().map(|column| column.to_uppercase()).collect(), None));
    }
    for row in rows {
        let cells = columns.iter().map(|column| visible(&cell(row, column))).collect();
        lines.push((cells, row.get(WRITTEN).and_then(Value::as_str)));
    }
    let width = |index: usize| lines.iter().map(|(cells, _)| cells[index].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{name}")?;
    for (cells, written) in &lines {
        let cells: Vec<_> = cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        writeln!(out, "  {}", cells.join("  ").trim_end())?;
        let indent = widths.first().map_or(2, |width| width + 4);
        for line in written.iter().flat_map(|written| written.lines()) {
            writeln!(out, "{}", format!("{:indent$}| {}", "", visible(line)).trim_end())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(list: &Value) -> String {
        let mut out = vec![];
        write("section", list, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_somebody_wrote_stands_under_its_row() {
        let list = json!([
            {"at": "12:00", "sentence": "It was denied.", "text": "No.\nReally\u{1b}."},
            {"at": "9:00", "sentence": "It was withdrawn.", "text": null},
        ]);
        let lines = [
            "",
            "section",
            "  12:00  It was denied.",
            "         | No.",
            "         | Really\\u{1b}.",
            "  9:00   It was withdrawn.",
            "",
        ];
        assert_eq!(written(&list), lines.join("\n"));
    }

    #[test]
    fn more_than_two_columns_have_headers() {
        let list = json!([{"field": "name", "from": "A", "to": "B\nC"}]);
        assert_eq!(written(&list), "\nsection\n  FIELD  FROM  TO\n  name   A     B, C\n");
    }

    #[test]
    fn lists_of_words_are_no_sections_and_empty_lists_are_not_shown() {
        assert!(!is_list(&json!(["read"])) && !is_list(&json!({})) && is_list(&json!([{"a": 1}])));
        assert!(is_list(&json!([])) && written(&json!([])).is_empty());
    }
}
