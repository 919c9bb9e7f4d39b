//! How the terminal looks: its width, whether it takes colour, and text that cannot harm it.

use std::io::{IsTerminal, stdout};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Width where none can be found.
const DEFAULT_WIDTH: usize = 120;
/// Narrower than this a line says nothing; wider than the other, nobody follows it.
const WIDTHS: std::ops::RangeInclusive<usize> = 60..=240;

/// Properties of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Columns.
    pub(super) width: usize,
    /// ANSI colours.
    pub(super) colour: bool,
}

impl Look {
    /// What standard output is at this moment.
    pub(super) fn of_stdout() -> Self {
        let var = |name: &str| std::env::var(name).ok();
        let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        Self::new(stdout().is_terminal(), width, var)
    }

    /// `NO_COLOR` forbids colour, `FORCE_COLOR` and `CLICOLOR_FORCE` ask for it also outside of
    /// terminals, `CLICOLOR=0` and `TERM=dumb` turn it off on one.
    fn new(terminal: bool, width: Option<usize>, var: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| var(name).filter(|value| !value.is_empty());
        let on = |name: &str| set(name).is_some_and(|value| value != "0");
        let columns = || set("COLUMNS").and_then(|columns| columns.parse().ok());
        let colour = if set("NO_COLOR").is_some() {
            false
        } else if on("FORCE_COLOR") || on("CLICOLOR_FORCE") {
            true
        } else {
            let refused = var("CLICOLOR").as_deref() == Some("0");
            terminal && !refused && var("TERM").as_deref() != Some("dumb")
        };
        Self {
            width: width
                .or_else(columns)
                .unwrap_or(DEFAULT_WIDTH)
                .clamp(*WIDTHS.start(), *WIDTHS.end()),
            colour,
        }
    }
}

/// How a piece of text is painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    /// As is.
    Plain,
    /// Stands out.
    Bold,
    /// Stands back.
    Dim,
    /// An error.
    Red,
    /// A bar.
    Blue,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Red => "\x1b[31m",
            Self::Blue => "\x1b[34m",
        }
    }
}

/// One line, built from the left, cut where the room ends.
pub(super) struct Text {
    look: Look,
    text: String,
    used: usize,
    room: usize,
}

impl Text {
    /// A line with `reserved` columns kept free at its right.
    pub(super) fn new(look: Look, reserved: usize) -> Self {
        Self {
            look,
            text: String::new(),
            used: 0,
            room: look.width.saturating_sub(reserved),
        }
    }

    /// Adds text; control characters and those that turn the direction of writing are replaced,
    /// what does not fit is cut.
    pub(super) fn push(&mut self, paint: Paint, text: &str) {
        let fits = self.used + text.width() <= self.room;
        let room = if fits {
            self.room
        } else {
            self.room.saturating_sub(1)
        };
        let mut piece = String::new();
        for shown in text.chars().map(harmless_char) {
            let width = shown.width().unwrap_or(0);
            if self.used + width > room {
                break;
            }
            self.used += width;
            piece.push(shown);
        }
        if !fits && self.used < self.room {
            piece.push('…');
            self.used = self.room;
        }
        self.paint(paint, &piece);
    }

    /// Spaces up to the reserved part, which may be filled from then on.
    pub(super) fn align(&mut self) {
        let gap = self.room.saturating_sub(self.used);
        self.text.extend(std::iter::repeat_n(' ', gap));
        self.used += gap;
        self.room = self.look.width;
    }

    /// The line.
    pub(super) fn finish(mut self) -> String {
        self.text.truncate(self.text.trim_end().len());
        self.text.push('\n');
        self.text
    }

    fn paint(&mut self, paint: Paint, piece: &str) {
        if !self.look.colour || paint == Paint::Plain || piece.trim().is_empty() {
            self.text.push_str(piece);
        } else {
            self.text.push_str(paint.code());
            self.text.push_str(piece);
            self.text.push_str("\x1b[0m");
        }
    }
}

/// Text of a stranger, for a log line.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(harmless_char).collect()
}

/// Traced programs choose names and paths; the terminal must not obey them.
fn harmless_char(c: char) -> char {
    let invisible = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    if c.is_control() || invisible {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colour(terminal: bool, vars: &[(&str, &str)]) -> bool {
        let var = |name: &str| {
            let found = vars.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Look::new(terminal, None, var).colour
    }

    #[test]
    fn colour_is_for_terminals_unless_the_environment_says_otherwise() {
        assert!(colour(true, &[]));
        assert!(!colour(false, &[]));
        assert!(!colour(true, &[("NO_COLOR", "1"), ("FORCE_COLOR", "1")]));
        assert!(colour(true, &[("NO_COLOR", "")]));
        assert!(colour(false, &[("FORCE_COLOR", "1")]));
        assert!(colour(false, &[("CLICOLOR_FORCE", "1")]));
        assert!(!colour(false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!colour(true, &[("CLICOLOR", "0")]));
        assert!(!colour(true, &[("TERM", "dumb")]));
    }

    #[test]
    fn the_width_is_the_terminals_else_columns_else_120_within_limits() {
        let width = |terminal, columns: Option<&str>| {
            let columns = columns.map(str::to_owned);
            Look::new(false, terminal, |name| {
                columns.clone().filter(|_| name == "COLUMNS")
            })
            .width
        };
        assert_eq!(width(Some(100), Some("90")), 100);
        assert_eq!(width(None, Some("90")), 90);
        assert_eq!(width(None, None), 120);
        assert_eq!((width(Some(3), None), width(None, Some("9999"))), (60, 240));
    }

    fn line(width: usize, text: &str) -> String {
        let mut line = Text::new(
            Look {
                width,
                colour: false,
            },
            0,
        );
        line.push(Paint::Red, text);
        line.finish()
    }

    #[test]
    fn text_is_cut_to_the_room_and_harmless() {
        assert_eq!(line(5, "abcde"), "abcde\n");
        assert_eq!(line(5, "abcdef"), "abcd…\n");
        assert_eq!(line(5, "日本語"), "日本…\n");
        assert_eq!(
            line(20, "a\x1b[2J\r\n\u{202e}b"),
            "a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}b\n"
        );
    }
}
