//! A page of text: headings, aligned rows, colours where the terminal shows them.

use unicode_width::UnicodeWidthStr;

/// How a piece of text is painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Red => "\x1b[31m",
            Self::Green => "\x1b[32m",
            Self::Yellow => "\x1b[33m",
        }
    }
}

/// One cell of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    paint: Paint,
    right: bool,
}

/// A cell. Names come from traced programs: none may steer the terminal.
pub(super) fn cell(text: impl AsRef<str>) -> Cell {
    Cell {
        text: shown(text.as_ref()),
        paint: Paint::Plain,
        right: false,
    }
}

impl Cell {
    pub(super) fn paint(mut self, paint: Paint) -> Self {
        self.paint = paint;
        self
    }

    /// Stands at the right of its column.
    pub(super) fn right(mut self) -> Self {
        self.right = true;
        self
    }
}

/// Text without control characters.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// The page.
pub(super) struct Page {
    text: String,
    colour: bool,
}

impl Page {
    pub(super) fn new(colour: bool) -> Self {
        Self {
            text: String::new(),
            colour,
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn painted(&self, paint: Paint, text: &str) -> String {
        match self.colour && paint != Paint::Plain {
            true => format!("{}{text}\x1b[0m", paint.code()),
            false => text.to_owned(),
        }
    }

    /// Cells of one line, one space between them.
    pub(super) fn line(&mut self, indent: usize, cells: &[Cell]) {
        let parts: Vec<String> = cells
            .iter()
            .map(|cell| self.painted(cell.paint, &cell.text))
            .collect();
        self.push(indent, &parts.join(" "));
    }

    /// Begins a section.
    pub(super) fn heading(&mut self, text: &str) {
        self.text.push('\n');
        self.line(0, &[cell(text).paint(Paint::Bold)]);
    }

    /// Rows whose columns are aligned; the last cell of a row takes no room of its column.
    pub(super) fn table(&mut self, indent: usize, rows: &[Vec<Cell>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(|column| width(rows, column)).collect();
        for row in rows {
            let mut line = String::new();
            let mut room = 0;
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let blank = width.saturating_sub(cell.text.width());
                let (before, after) = if cell.right { (blank, 0) } else { (0, blank) };
                if index > 0 {
                    room += 2;
                }
                if !cell.text.is_empty() {
                    line.push_str(&" ".repeat(room + before));
                    line.push_str(&self.painted(cell.paint, &cell.text));
                    room = after;
                } else {
                    room += blank;
                }
            }
            self.push(indent, &line);
        }
    }

    fn push(&mut self, indent: usize, line: &str) {
        if !line.is_empty() {
            self.text.push_str(&" ".repeat(indent));
            self.text.push_str(line);
        }
        self.text.push('\n');
    }
}

fn width(rows: &[Vec<Cell>], column: usize) -> usize {
    let cells = rows.iter().filter_map(|row| {
        let last = column + 1 == row.len();
        row.get(column).filter(|cell| !last || cell.right)
    });
    cells.map(|cell| cell.text.width()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_with_words() {
        let mut page = Page::new(false);
        page.table(
            2,
            &[
                vec![cell("1").right(), cell("shop"), cell("x")],
                vec![cell("4711").right(), cell(""), cell("y")],
                vec![cell(""), cell("a longer last cell")],
            ],
        );
        assert_eq!(
            page.into_text(),
            "     1  shop  x\n  4711        y\n        a longer last cell\n"
        );
    }

    #[test]
    fn colours_frame_the_words_only() {
        let mut page = Page::new(true);
        page.line(0, &[cell("on").paint(Paint::Green), cell("http1")]);
        assert_eq!(page.into_text(), "\x1b[32mon\x1b[0m http1\n");
    }

    #[test]
    fn no_name_steers_the_terminal() {
        assert_eq!(cell("a\x1b[2J\nb").text, "a\u{fffd}[2J\u{fffd}b");
    }
}
