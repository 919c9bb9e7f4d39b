//! Request targets: path, query with its values replaced, authority without user info.

/// What stands for a value that is not told.
pub const REDACTED: &str = "REDACTED";
/// Longest path kept, bytes.
pub const MAX_PATH: usize = 4 * 1024;
/// Longest query kept, bytes, after replacing.
pub const MAX_QUERY: usize = 2 * 1024;
/// Longest host kept, bytes.
pub const MAX_HOST: usize = 255;

/// A request target taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// Without query; empty with CONNECT.
    pub path: String,
    /// Without `?`.
    pub query: Option<String>,
    /// Of an absolute or authority target, without user info.
    pub host: Option<String>,
}

/// Takes a target in any of its four forms apart (RFC 9112, 3.2).
pub fn parse(method: &str, target: &str, redact_query: bool) -> Target {
    if method == "CONNECT" {
        return Target {
            path: String::new(),
            query: None,
            host: Some(host(target)),
        };
    }
    let (authority, rest) = match target.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            (Some(host(&rest[..end])), &rest[end..])
        }
        _ => (None, target),
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let path = if path.is_empty() { "/" } else { path };
    Target {
        path: cut(path, MAX_PATH).to_owned(),
        query: query.map(|query| {
            if redact_query {
                redact(query)
            } else {
                cut(query, MAX_QUERY).to_owned()
            }
        }),
        host: authority,
    }
}

/// Host and port without user info.
pub fn host(authority: &str) -> String {
    let host = authority.rsplit('@').next().unwrap_or_default();
    cut(host, MAX_HOST).to_owned()
}

/// Keeps the keys. A word without `=` may be a secret as well as a key, so it goes too. The
/// result does not depend on the values, so a recording whose values are overwritten gives it too.
fn redact(query: &str) -> String {
    let mut out = String::new();
    for part in query.split('&') {
        let key = part.split_once('=').map(|(key, _)| key);
        let more = key.map_or(0, |key| key.len() + 1) + REDACTED.len() + 1;
        if out.len() + more > MAX_QUERY {
            break;
        }
        if !out.is_empty() {
            out.push('&');
        }
        match key {
            Some(key) => out.extend([key, "=", REDACTED]),
            None if part.is_empty() => {}
            None => out.push_str(REDACTED),
        }
    }
    out
}

fn is_scheme(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// At most `max` bytes of `text`, whole characters.
pub fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: &str, target: &str) -> (String, Option<String>, Option<String>) {
        let target = parse(method, target, true);
        (target.path, target.query, target.host)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn every_form_of_target_is_taken_apart() {
        assert_eq!(parts("GET", "/a/b"), ("/a/b".into(), None, None));
        assert_eq!(parts("OPTIONS", "*"), ("*".into(), None, None));
        assert_eq!(
            parts("CONNECT", "u:p@db:443"),
            (String::new(), None, some("db:443"))
        );
        assert_eq!(
            parts("GET", "http://user:secret@h:81/x?k=v"),
            ("/x".into(), some("k=REDACTED"), some("h:81"))
        );
        assert_eq!(
            parts("GET", "http://h?k=v"),
            ("/".into(), some("k=REDACTED"), some("h"))
        );
        assert_eq!(
            parts("GET", "/r?to=http://h/@"),
            ("/r".into(), some("to=REDACTED"), None)
        );
    }

    #[test]
    fn queries_keep_their_keys_and_no_value() {
        let query = |q: &str| parts("GET", &format!("/?{q}")).1.unwrap();
        assert_eq!(
            query("a=1&b=&token&c=x=y"),
            "a=REDACTED&b=REDACTED&REDACTED&c=REDACTED"
        );
        assert_eq!(query("a=1"), query("a=much+longer+value"));
        assert_eq!(query(""), "");
        assert!(query(&"k=v&".repeat(9000)).len() <= MAX_QUERY);
        assert_eq!(parse("GET", "/?a=1", false).query.unwrap(), "a=1");
    }

    #[test]
    fn long_parts_are_cut_at_characters() {
        assert_eq!(
            parts("GET", &format!("/{}", "é".repeat(9000))).0.len(),
            MAX_PATH - 1
        );
    }
}
