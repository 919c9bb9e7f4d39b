//! The YAML file: nested keys become dotted ones, each value keeps its line.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::declared;

/// Largest file read.
const FILE_MAX: u64 = 1 << 20;
/// Key of the map of `OTEL_*` variables.
pub const OTEL: &str = "otel";

/// One setting of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileValue {
    /// As text; several where the file has a list.
    pub values: Vec<String>,
    /// Line of the value.
    pub line: u64,
}

/// A file that was read; its keys are known, its values not yet checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigFile {
    /// Where it was read from.
    pub path: PathBuf,
    /// Settings by key.
    pub settings: BTreeMap<String, FileValue>,
    /// `OTEL_*` variables, to be used where the environment does not set them.
    pub otel: BTreeMap<String, String>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Larger than any honest one.
    #[error("{} is larger than 1 MiB", .0.display())]
    TooLarge(PathBuf),
    /// Not YAML, an unknown key, or a value of the wrong shape.
    #[error("{}{}: {message}", path.display(), if *line > 0 { format!(":{line}") } else { String::new() })]
    Content {
        /// The file.
        path: PathBuf,
        /// Line, 0 where unknown.
        line: u64,
        /// What is wrong, and what is allowed.
        message: String,
    },
}

impl ConfigFile {
    /// Reads and checks the shape of `path`.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError::Read {
            path: path.to_owned(),
            source,
        };
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(FILE_MAX + 1).read_to_string(&mut text))
            .map_err(failed)?;
        if text.len() as u64 > FILE_MAX {
            return Err(FileError::TooLarge(path.to_owned()));
        }
        Self::parse(path, &text)
    }

    /// Checks the shape of `text`; `path` is for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        let mut file = Self {
            path: path.to_owned(),
            ..Self::default()
        };
        let root: Option<Spanned<Node>> =
            serde_saphyr::from_str(text).map_err(|error| FileError::Content {
                path: path.to_owned(),
                line: error.location().map_or(0, |location| location.line()),
                message: first_line(&error.without_snippet().to_string()),
            })?;
        match root.map(|root| (root.referenced.line(), root.value)) {
            None | Some((_, Node::Null)) => Ok(file),
            Some((_, Node::Map(entries))) => {
                let known = known_keys();
                file.add("", entries, &known)?;
                Ok(file)
            }
            Some((line, _)) => Err(file.wrong(line, "expected keys and values".to_owned())),
        }
    }

    fn add(&mut self, prefix: &str, entries: Entries, known: &[String]) -> Result<(), FileError> {
        for (name, node) in entries {
            let line = name.referenced.line();
            let key = format!("{prefix}{}", name.value);
            if key == OTEL {
                self.add_otel(node)?;
            } else if known.contains(&key) {
                self.add_value(key, node)?;
            } else if is_group(&key, known) {
                match node.value {
                    Node::Map(entries) => self.add(&format!("{key}."), entries, known)?,
                    Node::Null => {}
                    _ => return Err(self.wrong(line, format!("{key}: expected keys below it"))),
                }
            } else {
                return Err(self.wrong(line, unknown(&key, known)));
            }
        }
        Ok(())
    }

    fn add_value(&mut self, key: String, node: Spanned<Node>) -> Result<(), FileError> {
        let line = node.referenced.line();
        let values = match node.value {
            // `key:` without a value leaves the default.
            Node::Null => return Ok(()),
            Node::Scalar(text) => vec![text],
            Node::List(items) => items
                .into_iter()
                .map(|item| match item.value {
                    Node::Scalar(text) => Ok(text),
                    _ => Err(self.wrong(item.referenced.line(), format!("{key}: expected text"))),
                })
                .collect::<Result<_, _>>()?,
            Node::Map(_) => return Err(self.wrong(line, format!("{key}: expected a value"))),
        };
        if self.settings.contains_key(&key) {
            return Err(self.wrong(line, format!("{key} is set twice")));
        }
        self.settings.insert(key, FileValue { values, line });
        Ok(())
    }

    fn add_otel(&mut self, node: Spanned<Node>) -> Result<(), FileError> {
        let line = node.referenced.line();
        let entries = match node.value {
            Node::Map(entries) => entries,
            Node::Null => return Ok(()),
            _ => {
                let message = "otel: expected OTEL_* names and values".to_owned();
                return Err(self.wrong(line, message));
            }
        };
        for (name, node) in entries {
            let line = name.referenced.line();
            if !name.value.starts_with("OTEL_") {
                let message = format!("otel: `{}` is no OTEL_* variable", name.value);
                return Err(self.wrong(line, message));
            }
            match node.value {
                Node::Scalar(text) => self.otel.insert(name.value, text),
                Node::Null => None,
                _ => return Err(self.wrong(line, format!("{}: expected text", name.value))),
            };
        }
        Ok(())
    }

    fn wrong(&self, line: u64, message: String) -> FileError {
        FileError::Content {
            path: self.path.clone(),
            line,
            message,
        }
    }
}

/// Keys of all settings, in the order of their declaration.
pub fn known_keys() -> Vec<String> {
    declared()
        .get_arguments()
        .map(|arg| arg.get_id().to_string())
        .collect()
}

fn is_group(key: &str, known: &[String]) -> bool {
    known.iter().any(|known| {
        known
            .strip_prefix(key)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

fn unknown(key: &str, known: &[String]) -> String {
    let nearest = known
        .iter()
        .map(String::as_str)
        .chain([OTEL])
        .max_by(|a, b| strsim::jaro_winkler(key, a).total_cmp(&strsim::jaro_winkler(key, b)))
        .unwrap_or(OTEL);
    format!("unknown key `{key}`; the nearest known one is `{nearest}`")
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

type Entries = Vec<(Spanned<String>, Spanned<Node>)>;

/// Any YAML, scalars as text: what they mean is the business of the setting's own parser.
enum Node {
    Null,
    Scalar(String),
    List(Vec<Spanned<Node>>),
    Map(Entries),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

macro_rules! scalars {
    ($($visit:ident: $t:ty),+) => {
        $(fn $visit<E: serde::de::Error>(self, value: $t) -> Result<Node, E> {
            Ok(Node::Scalar(value.to_string()))
        })+
    };
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or keys with values")
    }

    scalars!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E: serde::de::Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries: Entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<Spanned<String>, _>()? {
            if entries.iter().any(|(known, _)| known.value == key.value) {
                return Err(A::Error::custom(format!("`{}` is set twice", key.value)));
            }
            entries.push((key, value));
        }
        Ok(Node::Map(entries))
    }
}
