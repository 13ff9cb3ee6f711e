//! A reader of CSV after RFC 4180, letter by letter, to check the writer by.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic, missing_docs)]

pub fn read(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut field = String::new();
    let mut letters = text.chars().peekable();
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => field.push(letters.next().unwrap()),
            '"' if quoted => {
                quoted = false;
                assert!(
                    matches!(letters.peek(), Some(',' | '\r')),
                    "text after a closing quote"
                );
            }
            _ if quoted => field.push(letter),
            '"' => {
                assert!(field.is_empty(), "a quote within a field");
                quoted = true;
            }
            ',' => row.push(std::mem::take(&mut field)),
            '\r' => {
                assert_eq!(letters.next(), Some('\n'), "a bare carriage return");
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            '\n' => panic!("a bare line feed"),
            _ => field.push(letter),
        }
    }
    assert!(
        !quoted && field.is_empty() && row.is_empty(),
        "the last row has no end"
    );
    assert!(
        rows.windows(2).all(|pair| pair[0].len() == pair[1].len()),
        "rows of different length"
    );
    rows
}

/// Rows by the names of their columns.
pub struct Sheet(pub Vec<String>, pub Vec<Vec<String>>);

impl Sheet {
    pub fn read(text: &str) -> Self {
        let mut rows = read(text);
        let head = rows.remove(0);
        Self(head, rows)
    }

    pub fn get<'a>(&self, row: &'a [String], column: &str) -> &'a str {
        &row[self.0.iter().position(|name| name == column).unwrap()]
    }

    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Vec<String>> {
        self.1.iter().filter(move |row| self.get(row, "row") == kind)
    }
}

/// The text without the sign that keeps a spreadsheet from calculating it.
pub fn unguarded(field: &str) -> &str {
    field.strip_prefix('\'').unwrap_or(field)
}
