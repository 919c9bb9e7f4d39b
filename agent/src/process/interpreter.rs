//! Programs that run other programs: the script, module, jar or class is the service's name.

use super::targets::base_name;

/// A language whose executable says nothing about the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// Value of `telemetry.sdk.language` where the conventions have one.
    pub language: Option<&'static str>,
    /// Options that are followed by a value of their own.
    with_value: &'static [&'static str],
    /// Options whose value is the program: `-m module`, `-jar file`.
    names: &'static [&'static str],
    /// Options after which there is no program file: `-c`, `-e`.
    inline: &'static [&'static str],
    /// First words to skip: `bun run`, `dotnet exec`.
    verbs: &'static [&'static str],
    /// Endings that are not part of the name.
    endings: &'static [&'static str],
}

const NONE: Interpreter = Interpreter {
    language: None,
    with_value: &[],
    names: &[],
    inline: &[],
    verbs: &[],
    endings: &[],
};

const PYTHON: Interpreter = Interpreter {
    language: Some("python"),
    with_value: &["-W", "-X", "--check-hash-based-pycs"],
    names: &["-m"],
    inline: &["-c"],
    endings: &[".py", ".pyc", ".pyz"],
    ..NONE
};

const NODE: Interpreter = Interpreter {
    language: Some("nodejs"),
    with_value: &[
        "-r",
        "--require",
        "--import",
        "--loader",
        "--experimental-loader",
        "-C",
        "--conditions",
        "--env-file",
        "--input-type",
        "--title",
    ],
    inline: &["-e", "--eval", "-p", "--print"],
    endings: &[".js", ".mjs", ".cjs", ".ts"],
    ..NONE
};

const JAVA: Interpreter = Interpreter {
    language: Some("java"),
    with_value: &[
        "-cp",
        "-classpath",
        "--class-path",
        "-p",
        "--module-path",
        "--upgrade-module-path",
        "--add-modules",
        "--add-opens",
        "--add-exports",
        "--add-reads",
        "--enable-native-access",
    ],
    names: &["-jar", "-m", "--module"],
    endings: &[".jar", ".war", ".java"],
    ..NONE
};

const RUBY: Interpreter = Interpreter {
    language: Some("ruby"),
    with_value: &["-I", "-r", "-C", "-E"],
    inline: &["-e"],
    endings: &[".rb", ".ru"],
    ..NONE
};

const PHP: Interpreter = Interpreter {
    language: Some("php"),
    with_value: &["-c", "-d", "-S", "-t", "-z"],
    names: &["-f", "--file"],
    inline: &["-r", "--run", "-B", "-R"],
    endings: &[".php"],
    ..NONE
};

const PERL: Interpreter = Interpreter {
    with_value: &["-I"],
    inline: &["-e", "-E"],
    endings: &[".pl", ".psgi"],
    ..NONE
};

const DOTNET: Interpreter = Interpreter {
    language: Some("dotnet"),
    with_value: &[
        "--additionalprobingpath",
        "--depsfile",
        "--runtimeconfig",
        "--fx-version",
        "--roll-forward",
        "--additional-deps",
    ],
    verbs: &["exec"],
    endings: &[".dll", ".exe"],
    ..NONE
};

const DENO: Interpreter = Interpreter {
    language: Some("webjs"),
    with_value: &["-c", "--config", "--import-map", "-r", "--preload"],
    inline: &["-e", "eval"],
    verbs: &["run", "serve"],
    ..NODE
};

/// The interpreter that an executable of this name is. Versions are no part of the name:
/// `python3.12`, `ruby3.1`, `nodejs`.
pub fn interpreter(exe: &str) -> Option<&'static Interpreter> {
    let name = base_name(exe);
    match name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-') {
        "python" | "pypy" | "uwsgi-python" => Some(&PYTHON),
        "node" | "nodejs" => Some(&NODE),
        "java" => Some(&JAVA),
        "ruby" | "jruby" => Some(&RUBY),
        "php" => Some(&PHP),
        "perl" => Some(&PERL),
        "dotnet" => Some(&DOTNET),
        "deno" | "bun" => Some(&DENO),
        _ => None,
    }
}

/// Value of `telemetry.sdk.language` for an executable, where its name tells.
pub fn language(exe: &str) -> Option<&'static str> {
    interpreter(exe).and_then(|i| i.language).or_else(|| {
        let name = base_name(exe);
        if name.starts_with("php-fpm") {
            Some("php")
        } else if name.starts_with("beam") {
            Some("erlang")
        } else {
            None
        }
    })
}

/// What the interpreter runs, as typed: script, module, jar or main class.
pub fn program<'a>(interpreter: &Interpreter, args: &'a [String]) -> Option<&'a str> {
    let mut words = args.iter().skip(1).map(String::as_str);
    let mut verbs = interpreter.verbs;
    while let Some(word) = words.next() {
        if interpreter.names.contains(&word) {
            return words.next().filter(|word| !word.is_empty());
        }
        if interpreter.inline.contains(&word) {
            return None;
        }
        if verbs.contains(&word) {
            verbs = &[];
        } else if interpreter.with_value.contains(&word) {
            words.next();
        } else if word == "--" {
            return words.next().filter(|word| !word.is_empty());
        } else if let Some(name) = attached(interpreter, word) {
            return Some(name);
        } else if !word.starts_with('-') && !word.starts_with('@') && !word.is_empty() {
            return Some(word);
        }
    }
    None
}

/// `-mhttp.server`: Python takes the value without a space.
fn attached<'a>(interpreter: &Interpreter, word: &'a str) -> Option<&'a str> {
    if *interpreter != PYTHON {
        return None;
    }
    word.strip_prefix("-m").filter(|rest| !rest.is_empty())
}

/// What is left of a program as typed for a service's name: `/srv/shop/app.py` is `app`,
/// `shop-1.4.2.jar` is `shop`, `/srv/shop/index.js` is `shop`.
pub fn short(interpreter: &Interpreter, program: &str) -> String {
    let stem = |name: &str| -> String {
        let name = interpreter
            .endings
            .iter()
            .find_map(|ending| name.strip_suffix(ending))
            .unwrap_or(name);
        name.to_owned()
    };
    if *interpreter == JAVA {
        // `module/com.example.Main`, `com.example.Main`, `lib/shop-1.4.2.jar`.
        return without_version(&stem(base_name(program))).to_owned();
    }
    let name = stem(base_name(program));
    let parent = program
        .rsplit('/')
        .nth(1)
        .filter(|parent| !parent.is_empty() && !matches!(*parent, "." | ".."));
    match (name.as_str(), parent) {
        ("index" | "__main__", Some(parent)) => parent.to_owned(),
        _ => name,
    }
}

/// Cuts `-1.4.2-SNAPSHOT`: a service keeps its name when it is deployed anew.
fn without_version(name: &str) -> &str {
    let bytes = name.as_bytes();
    (1..bytes.len().saturating_sub(1))
        .find(|&at| bytes[at] == b'-' && bytes[at + 1].is_ascii_digit())
        .map_or(name, |at| &name[..at])
}
