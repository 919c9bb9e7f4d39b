//! Puts environment and file under the flags: a value they give becomes the argument's default, so
//! that one parser, clap's, decides about all of them. Every value is checked before, so that an
//! error can name where it came from.

use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command};

use super::file::ConfigFile;

/// A value from environment or file that a setting does not take.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{origin}: {message}")]
pub struct SettingError {
    /// Variable, or file and line.
    pub origin: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// Puts `env` and `file` under the flags of `command` and its subcommands.
pub fn layer(
    command: Command,
    env: &dyn Fn(&str) -> Option<OsString>,
    file: Option<&ConfigFile>,
) -> Result<Command, SettingError> {
    if let Some(file) = file {
        check_file(file)?;
    }
    let mut failure = None;
    let command = walk(command, &mut |arg| match given(&arg, env, file) {
        Ok(given) => apply(arg, given),
        Err(error) => {
            failure.get_or_insert(error);
            arg
        }
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(command),
    }
}

fn walk(command: Command, change: &mut dyn FnMut(Arg) -> Arg) -> Command {
    let names: Vec<String> = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect();
    let command = command.mut_args(&mut *change);
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |sub| walk(sub, change))
    })
}

/// Values of one argument from the strongest layer that has it.
fn given(
    arg: &Arg,
    env: &dyn Fn(&str) -> Option<OsString>,
    file: Option<&ConfigFile>,
) -> Result<Option<Vec<String>>, SettingError> {
    let name = arg
        .get_env()
        .map(|name| name.to_string_lossy().into_owned());
    // The specification of OpenTelemetry's environment: empty means not set.
    if let Some((name, value)) =
        name.and_then(|name| env(&name).filter(|v| !v.is_empty()).map(|v| (name, v)))
    {
        let Some(value) = value.to_str() else {
            return Err(SettingError {
                origin: format!("environment variable {name}"),
                message: "is not UTF-8".to_owned(),
            });
        };
        let values = split(arg, &[value.to_owned()]);
        return check(arg, &values)
            .map(|()| Some(values))
            .map_err(|message| SettingError {
                origin: format!("environment variable {name}"),
                message,
            });
    }
    Ok(file
        .and_then(|file| file.settings.get(arg.get_id().as_str()))
        .map(|value| split(arg, &value.values)))
}

/// The file is checked as a whole: a bad value is told also where the subcommand does not use it.
fn check_file(file: &ConfigFile) -> Result<(), SettingError> {
    let declared = super::declared();
    for (key, value) in &file.settings {
        let Some(arg) = declared.get_arguments().find(|arg| arg.get_id() == key) else {
            continue;
        };
        check(arg, &split(arg, &value.values)).map_err(|message| SettingError {
            origin: format!("{}:{}: {key}", file.path.display(), value.line),
            message,
        })?;
    }
    Ok(())
}

fn split(arg: &Arg, values: &[String]) -> Vec<String> {
    match arg.get_value_delimiter() {
        Some(delimiter) => values
            .iter()
            .flat_map(|value| value.split(delimiter))
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
            .collect(),
        None => values.to_vec(),
    }
}

/// Runs the argument's own parser over `values`.
fn check(arg: &Arg, values: &[String]) -> Result<(), String> {
    let many = matches!(arg.get_action(), ArgAction::Append);
    if values.len() != 1 && !many {
        return Err("expected one value".to_owned());
    }
    let mut single = Arg::new("value")
        .long("value")
        .value_parser(arg.get_value_parser().clone());
    single = single.action(if many {
        ArgAction::Append
    } else {
        ArgAction::Set
    });
    let words = values.iter().map(|value| format!("--value={value}"));
    Command::new("check")
        .no_binary_name(true)
        .disable_help_flag(true)
        .arg(single)
        .try_get_matches_from(words)
        .map(|_| ())
        .map_err(|error| explain(&error))
}

fn explain(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    let value = text(ContextKind::InvalidValue);
    let allowed = text(ContextKind::ValidValue);
    match std::error::Error::source(error) {
        Some(source) => format!("invalid value `{value}`: {source}"),
        None if allowed.is_empty() => format!("invalid value `{value}`"),
        None => format!("invalid value `{value}`; allowed: {allowed}"),
    }
}

/// The environment has been read: clap shall name the variable in its help, not read it again.
fn apply(arg: Arg, given: Option<Vec<String>>) -> Arg {
    let arg = match arg.get_env().map(OsStr::to_os_string) {
        Some(name) => {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            arg.env(Resettable::<clap::builder::OsStr>::Reset)
                .help(format!("{help} [env: {}]", name.to_string_lossy()))
        }
        None => arg,
    };
    match given {
        Some(values) => arg.default_values(values).required(false),
        None => arg,
    }
}

/// Variables that look like ours and are not.
pub fn unknown_variables(names: impl Iterator<Item = String>, command: &Command) -> Vec<String> {
    let known = variables(command);
    names
        .filter(|name| name.starts_with("THREADLINE_") && !known.contains(name))
        .collect()
}

fn variables(command: &Command) -> Vec<String> {
    command
        .get_arguments()
        .filter_map(Arg::get_env)
        .map(|name| name.to_string_lossy().into_owned())
        .chain(command.get_subcommands().flat_map(variables))
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_setting_has_a_key_a_flag_and_a_variable() {
        let declared = super::super::declared();
        for arg in declared.get_arguments() {
            assert!(arg.get_long().is_some(), "{arg}");
            let env = arg.get_env().expect("a variable").to_string_lossy();
            assert!(env.starts_with("THREADLINE_"), "{env}");
            assert!(arg.get_help().is_some(), "{arg}");
        }
        assert!(declared.get_arguments().count() > 10);
    }
}
