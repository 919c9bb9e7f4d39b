//! Text from traced programs, made safe to export and to print.

/// Longest name (service, container, unit) kept.
pub const NAME_MAX: usize = 255;
/// Longest attribute value kept.
pub const VALUE_MAX: usize = 4096;

/// At most `max` bytes of `text`, without control characters, trimmed.
pub fn clean(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for c in text.trim().chars() {
        let c = if c.is_control() { '\u{fffd}' } else { c };
        if out.len() + c.len_utf8() > max {
            break;
        }
        out.push(c);
    }
    out
}

/// A name, `None` when nothing is left of it.
pub fn name(text: &str) -> Option<String> {
    Some(clean(text, NAME_MAX)).filter(|name| !name.is_empty())
}
